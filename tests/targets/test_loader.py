"""Finding and loading target files."""

import math

import pytest
import yaml

from cimc.errors import TargetError
from cimc.targets import Target, list_targets, load_target
from cimc.targets.compatibility import switched_on


@pytest.mark.parametrize("name", list_targets())
def test_shipped_targets_load_and_survive_the_program(name):
    target = load_target(name)
    assert target.name == name
    assert Target.from_plain(target.plain()) == target
    assert Target.from_plain(yaml.safe_load(yaml.safe_dump(target.plain()))) == target


@pytest.mark.parametrize("name", list_targets())
def test_every_number_of_a_shipped_target_has_its_source(name):
    target = load_target(name)
    if target.encoding == "signed":
        return  # exact arithmetic: no numbers

    def numbers(plain, path):
        for key, value in plain.items():
            if isinstance(value, dict):
                yield from numbers(value, f"{path}{key}.")
            elif any(is_number(v) for v in (value if isinstance(value, list) else [value])):
                yield f"{path}{key}"

    def is_number(value):
        return isinstance(value, int | float) or (isinstance(value, str) and value[:1].isdigit())

    plain = target.plain()
    for key in ("schema", "description", "sources"):
        del plain[key]
    defaulted = {line.split(" = ")[0] for line in target.defaulted}
    assert set(numbers(plain, "")) - defaulted <= target.sources.keys()


def test_the_shipped_devices():
    sizes = {n: (load_target(n).array.rows, load_target(n).arrays) for n in list_targets()}
    assert sizes == {
        "flash": (256, 4096),
        "ideal": (None, None),
        "neurram": (256, 48),
        "otp": (256, 4096),
        "pcm": (256, 64),
        "rram": (256, 4096),
        "rram-128": (128, 16384),
        "rram-tiny": (128, 8),
        "rram-wires": (128, 16384),
        "sram": (256, 4096),
    }


def test_the_pcm_device_is_the_published_model():
    """The figures of its sources, written down a second time, at three conductances."""
    target = load_target("pcm")
    noise, g_max = target.noise, target.cell.g_max_us
    for g in (0.05, 0.4, 1.0):
        sigma = g_max * sum(a * g**k for k, a in enumerate(noise.programming.polynomial))
        assert sigma == pytest.approx(-1.1731 * g**2 + 1.9650 * g + 0.26348, rel=1e-5)
        q = min(noise.read.one_over_f.amplitude * g**-noise.read.one_over_f.exponent, 0.2)
        assert q == pytest.approx(min(0.0088 / g**0.65, 0.2))
        law, log = noise.drift, math.log(g)
        mean = min(max(law.nu + law.nu_slope * log, law.nu_limits[0]), law.nu_limits[1])
        assert mean == pytest.approx(min(max(-0.0155 * log + 0.0244, 0.049), 0.1))
        low, high = law.nu_sigma_limits
        spread = min(max(law.nu_sigma + law.nu_sigma_slope * log, low), high)
        assert spread == pytest.approx(min(max(-0.0125 * log - 0.0059, 0.008), 0.045))
    operations = 2 * 256 * 256
    assert target.costs.mvm_time_ns == pytest.approx(64 * operations / 63.1e12 * 1e9, rel=2e-3)
    assert target.costs.mvm_energy_pj == pytest.approx(operations / 9.76e12 * 1e12, rel=1e-3)


def test_the_flash_device_is_the_published_one():
    """Spread and loss as CrossSim fitted them to the paper, in nA of 1,600 nA (table of A)."""
    target = load_target("flash")
    noise = target.noise
    for current in (0.0, 50.0, 200.0, 800.0, 1600.0):
        part = current / 1600.0
        sigma = 1600.0 * sum(a * part**k for k, a in enumerate(noise.programming.polynomial))
        assert sigma == pytest.approx(19.88665 * -math.expm1(-current / 176.3115), abs=0.31)
    at_800 = 12.58037 * -math.expm1(-800.0 / 215.36557)
    assert 800.0 * noise.read.sigma_relative == pytest.approx(at_800, rel=0.01)
    slow = noise.relaxation
    for days, spread in (
        (1, 25.59102),
        (2, 28.72753),
        (3, 31.04318),
        (4, 33.76214),
        (5, 34.57909),
    ):
        decades = math.log10(1.0 + days * 86_400.0 / slow.t0_s)
        added = 1600.0 * slow.sigma_relative * math.sqrt(decades)
        assert math.hypot(19.88665, added) == pytest.approx(spread, rel=0.02)
    decades = math.log10(1.0 + 5 * 86_400.0 / slow.t0_s)
    lost = slow.rate * decades
    assert 800.0 * lost == pytest.approx(37.9, rel=0.05)
    assert 1200.0 * lost == pytest.approx(52.6, rel=0.05)


def test_the_neurram_device_is_the_published_fit():
    """Its polynomials for 1 s and 1 day [uS], from g^4 down, written down a second time."""
    target = load_target("neurram")
    noise, g_max = target.noise, target.cell.g_max_us

    def sigma(coefficients, part):
        return sum(a * part**k for k, a in enumerate(reversed(coefficients)))

    second = (-16.815, 45.393, -43.853, 16.030, 0.348)
    day = (-16.458, 47.095, -50.773, 22.086, 0.701)
    for part in (0.025, 0.5, 1.0):
        own = g_max * sum(a * part**k for k, a in enumerate(noise.programming.polynomial))
        assert own == pytest.approx(sigma(second, part))
    added = [sigma(day, part) ** 2 - sigma(second, part) ** 2 for part in (0.025, 0.25)]
    decades = math.log10(1.0 + 86_400.0 / noise.relaxation.t0_s)
    spread = (g_max - target.cell.g_min_us) * noise.relaxation.sigma_relative
    assert spread**2 * decades == pytest.approx(sum(added) / 2, rel=0.02)


def test_wires_are_all_that_rram_wires_adds():
    wired, plain = load_target("rram-wires").plain(), load_target("rram-128").plain()
    assert wired["wires"] != plain["wires"]
    for data in (wired, plain):
        for key in ("name", "description", "sources", "wires"):
            del data[key]
    assert wired == plain


def test_digital_sums_are_exact():
    target = load_target("sram")
    assert switched_on(target) == {"dac"}
    operations = 2 * 2 * 256 * 64  # twice: 8-bit inputs in two halves of 4
    assert target.costs.mvm_energy_pj == pytest.approx(operations / 89e12 * 1e12, rel=1e-3)


def test_a_path_comes_before_a_shipped_name(tmp_path, monkeypatch):
    text = (load_target.__globals__["_SHIPPED"] / "rram.yaml").read_text(encoding="utf-8")
    (tmp_path / "rram.yaml").write_text(text.replace("name: rram", "name: mine"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert load_target("rram.yaml").name == "mine"
    assert load_target("rram").name == "rram"
    monkeypatch.chdir("/")
    assert load_target("rram.yaml").name == "rram"
    assert load_target(tmp_path / "rram.yaml").name == "mine"


def test_an_unknown_name_lists_what_exists():
    with pytest.raises(TargetError) as caught:
        load_target("rramm")
    assert str(caught.value) == (
        "error[CIMC-T01]: no target file and no shipped target 'rramm'\n"
        f"  try 'rram', one of: {', '.join(list_targets())}; or a path"
    )


def test_a_folder_is_no_target(tmp_path):
    with pytest.raises(TargetError) as caught:
        load_target(tmp_path)
    assert caught.value.code == "CIMC-T01"


def test_errors_of_a_file_are_reported_together_in_order_with_positions(tmp_path, monkeypatch):
    (tmp_path / "bad.yaml").write_text(
        "schema: 1\nname: bad\narray: {rows: on, columns: 256}\n"
        "cell:\n  g_min: 2.1 uS\n  g_max: 17.85\n  g_min: 3 uS\nencoding: pair\nrowz: 1\n",
        encoding="utf-8",
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TargetError) as caught:
        load_target("bad.yaml")
    assert caught.value.code == "CIMC-T02"
    assert caught.value.message.splitlines() == [
        "5 errors in the target description",
        "bad.yaml:3:15: array.rows: is ambiguous: YAML 1.1 reads it as bool; write it out, "
        "or quote it (got on)",
        "bad.yaml:5:3: cell.g_min: key given twice, again at line 7 column 3 (got g_min)",
        "bad.yaml:6:10: cell.g_max: should be written with its unit, such as '1 uS' (got 17.85)",
        "bad.yaml:8:11: encoding: should be 'differential-pair', 'offset-column', 'bit-sliced' "
        "or 'signed' (got pair)",
        "bad.yaml:9:1: rowz: is not a setting of this section",
    ]


def test_an_empty_file_and_a_list(tmp_path):
    for text, message in (("", "is empty"), ("- 1\n", "should be a mapping of settings")):
        (tmp_path / "t.yaml").write_text(text, encoding="utf-8")
        with pytest.raises(TargetError, match=message):
            load_target(tmp_path / "t.yaml")
