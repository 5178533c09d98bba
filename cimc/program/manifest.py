"""Schema of ``program.yaml``."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cimc.errors import ProgramError

FORMAT: Final = "cimc-device-program"
#: Version of the format this reader and writer speak.
VERSION: Final = 3

Name = Annotated[str, Field(min_length=1, max_length=4096)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0, lt=1 << 48)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Size = Annotated[int, Field(ge=1, lt=1 << 31)]


class Record(BaseModel):
    """Base of the manifest's records: immutable, strict, no unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class SignalRecord(Record):
    """One input or output."""

    name: str
    dtype: Name
    shape: list[int | str] | None


class OutputRecord(SignalRecord):
    """One output, with the value that becomes it."""

    value: Name


class OperationRecord(Record):
    """One step."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=True)

    name: Name
    op: Name
    inputs: list[Name | None]
    attributes: dict[str, Any]
    outputs: list[str]
    source: str


class GeometryRecord(Record):
    """The stack of matrices of a layer."""

    kind: Literal["conv", "conv-transpose", "matrix", "matrix-left", "recurrent"]
    groups: Size
    rows: Size
    columns: Size
    kernel: Annotated[list[Size], Field(max_length=8)]
    transposed: bool
    stack: Annotated[list[Size], Field(max_length=30)]


class CellsRecord(Record):
    """How the cells of a layer are stored.

    ``states`` and ``bits`` are null when the planes are float32.
    """

    planes: Annotated[int, Field(ge=1, le=8)]
    states: Annotated[int, Field(ge=1, le=256)] | None
    bits: Annotated[int, Field(ge=1, le=8)] | None


class DacRecord(Record):
    """Input conversion of one use."""

    bits: int | None
    signed: bool
    policy: Literal["static", "dynamic"]
    x_max: float | None


class AdcRecord(Record):
    """Output conversion of one use; its ranges are in the blob, when it has any."""

    bits: int | None
    signed: bool
    ranges: bool


class FittedRecord(Record):
    """How the ranges of one use were found, and what they cut off; informative."""

    input_method: Name | None
    adc_method: Name | None
    inputs_clipped: Share | None
    conversions_clipped: Share | None
    snr_db: float | None


class UseRecord(Record):
    """Where a layer is read."""

    operation: Name
    operand: Annotated[int, Field(ge=0, le=1024)]
    dac: DacRecord
    adc: AdcRecord
    fitted: FittedRecord | None = None


class LayerRecord(Record):
    """One weight on crossbars."""

    name: Name
    source: str
    encoding: Literal["signed", "differential-pair", "offset-column", "bit-sliced"]
    cells: CellsRecord
    tiles: Count
    row_tiles: Count
    one_by_one: bool
    geometry: GeometryRecord
    uses: list[UseRecord]


class ArraysRecord(Record):
    """The arrays a program uses; rows and columns are null when the target has no limit."""

    used: Count
    rows: Size | None
    columns: Size | None
    cells_used: Count


class FaultsRecord(Record):
    """The chip whose fault map the program holds."""

    chip: str
    cells: Count
    gain_arrays: Count | None


#: Element type, shape, sha256.
TensorRecord = tuple[str, list[Count], Sha256]


class FileRecord(Record):
    """One blob and its tensors in file order."""

    sha256: Sha256
    bytes: Count
    tensors: dict[str, TensorRecord]


class Manifest(Record):
    """The whole of ``program.yaml``, in the order it is written."""

    format: Literal["cimc-device-program"]
    version: Literal[3]
    provenance: dict[str, Any]
    warnings: list[str]
    target: dict[str, Any]
    batched: bool
    arrays: ArraysRecord
    inputs: list[SignalRecord]
    outputs: list[OutputRecord]
    operations: list[OperationRecord]
    layers: list[LayerRecord]
    faults: FaultsRecord | None
    files: dict[str, FileRecord]


def validated(data: Any, *, where: str) -> Manifest:
    """Return the manifest that parsed YAML holds.

    Raises:
        ProgramError: ``CIMC-P08`` another format or version, ``CIMC-P07`` a key is missing,
            unknown or has the wrong type.
    """
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise ProgramError("CIMC-P08", f"not the manifest of a {FORMAT}", where=where)
    version = data.get("version")
    if type(version) is not int or version != VERSION:
        raise ProgramError(
            "CIMC-P08",
            f"format version {str(version)[:20]} cannot be read, only {VERSION}",
            where=where,
            hint="compiling the model again with this version of cimc",
        )
    try:
        # Tuples come as lists from YAML: only the tensor records need lax mode for that.
        return Manifest.model_validate(_tupled(data))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=True)[0]
        path = ".".join(str(p)[:80] for p in first["loc"])
        got = repr(first["input"])[:60]
        raise ProgramError(
            "CIMC-P07", f"{first['msg']} (got {got})", where=f"{where}: {path}"
        ) from error


def _tupled(data: dict[str, Any]) -> dict[str, Any]:
    files = data.get("files")
    if not isinstance(files, dict):
        return data
    return {**data, "files": {name: _tupled_file(file) for name, file in files.items()}}


def _tupled_file(file: Any) -> Any:
    if not isinstance(file, dict) or not isinstance(file.get("tensors"), dict):
        return file
    tensors = {name: tuple(t) if isinstance(t, list) else t for name, t in file["tensors"].items()}
    return {**file, "tensors": tensors}
