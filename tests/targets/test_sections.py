"""The sections of a target: what they read, with which units and limits."""

import pytest
from pydantic import ValidationError

from cimc.targets import noise_sections as noise
from cimc.targets import sections

NOISE = {
    "programming": {"sigma_log": 0.1, "verify": {"tolerance": "500 nS", "iterations": 8}},
    "device_to_device": {"sigma_lrs": 0.1, "sigma_hrs": 0.3, "distribution": "lognormal"},
    "correlated": {"sigma_relative": 0.02, "length": 16, "wafer_sigma_relative": 0.01},
    "read": {
        "sigma_relative": 0.01,
        "one_over_f": {"amplitude": 0.0088, "exponent": 0.65, "limit": 0.2, "t_read": "250 ns"},
        "telegraph": {"amplitude": 0.1, "occupancy": 0.3, "cells": 0.2},
    },
    "thermal": {
        "temperature": "358 K",
        "reference": "298 K",
        "tc_lrs_per_k": -0.001,
        "ea_hrs": "80 meV",
        "bandwidth": "5 MHz",
    },
    "drift": {"nu": 0.03, "nu_slope": -0.0155, "nu_limits": [0.049, 0.1], "t0": "20 s"},
    "relaxation": {"rate": 0.01, "rest": "3 uS", "sigma_relative": 0.02, "t0": "1 h"},
}


def test_noise_is_read_in_the_units_of_the_names():
    given = noise.Noise.model_validate(NOISE)
    assert given.programming.verify.tolerance_us == 0.5
    assert given.read.one_over_f.t_read_s == 250e-9
    assert (given.thermal.temperature_k, given.thermal.reference_k) == (358.0, 298.0)
    assert (given.thermal.ea_hrs_ev, given.thermal.bandwidth_hz) == (0.08, 5e6)
    assert (given.drift.t0_s, given.drift.nu_limits) == (20.0, (0.049, 0.1))
    assert (given.relaxation.rest_us, given.relaxation.t0_s) == (3.0, 3600.0)


def test_noise_is_written_as_it_is_read():
    given = noise.Noise.model_validate(NOISE)
    written = given.model_dump(by_alias=True, mode="json")
    assert written["thermal"]["bandwidth"] == "5000000 Hz"
    assert written["drift"]["nu_limits"] == [0.049, 0.1]
    assert noise.Noise.model_validate(written) == given


def test_wires_and_reads():
    wires = noise.Wires.model_validate({"word_line": "1.5 ohm", "driver": "0.1 kohm"})
    assert (wires.word_line_ohm, wires.driver_ohm, wires.sense_ohm) == (1.5, 100.0, 0.0)
    assert sections.Read.model_validate({"at": "1 d"}).at_s == 86_400.0
    assert sections.Nonlinearity.model_validate({"sinh": "250 mV"}).sinh_v == 0.25


@pytest.mark.parametrize(
    ("section", "data", "text"),
    [
        (noise.Thermal, {"temperature": "0 K"}, "greater than 0"),
        (noise.Thermal, {"temperature": 300}, "should be written with its unit"),
        (noise.Thermal, {"temperature": "27 C"}, "should be in K"),
        (noise.Thermal, {"bandwidth": "0 Hz"}, "greater than 0"),
        (noise.Thermal, {"ea_hrs": "-1 eV"}, "greater than or equal to 0"),
        (noise.Thermal, {"tc_lrs_per_k": 0.2}, "less than or equal to 0.1"),
        (noise.Drift, {}, "Field required"),
        (noise.Drift, {"nu": 1.5}, "less than or equal to 1"),
        (noise.Drift, {"nu": 0.1, "nu_limits": [0.1]}, "Field required"),
        (noise.Drift, {"nu": 0.1, "t0": "0 s"}, "greater than 0"),
        (noise.Drift, {"nu": 0.1, "compensation": "per-row"}, "per-column"),
        (noise.Relaxation, {"rate": -0.1}, "greater than or equal to 0"),
        (noise.OneOverF, {}, "Field required"),
        (noise.OneOverF, {"amplitude": 0.1, "t_read": "1 min"}, None),
        (noise.Telegraph, {"amplitude": 1.5}, "less than or equal to 1"),
        (noise.Correlated, {"length": 0.0}, "greater than 0"),
        (noise.DeviceToDevice, {"distribution": "uniform"}, "lognormal"),
        (
            noise.Verify,
            {"tolerance": "1 uS", "iterations": 0},
            "greater than or equal to 1",
        ),
        (noise.ProgrammingNoise, {"polynomial": []}, "at least 1 item"),
        (noise.ProgrammingNoise, {"polynomial": [0.1] * 9}, "at most 8 items"),
        (sections.Nonlinearity, {"polynomial": [float("nan")]}, "finite number"),
        (sections.Slices, {"count": 9}, "less than or equal to 8"),
        (sections.Slices, {"count": 4, "multipliers": "analog"}, "conductance"),
        (sections.Read, {"at": "-1 s"}, "greater than or equal to 0"),
        (sections.Read, {"drive": "analog"}, "pulse-width"),
        (noise.Lines, {"open_word_line": 2}, "less than or equal to 1"),
        (noise.Wires, {"sense": "1 S"}, "should be in ohm"),
    ],
)
def test_limits(section, data, text):
    if text is None:
        assert section.model_validate(data)
        return
    with pytest.raises(ValidationError, match=text):
        section.model_validate(data)
