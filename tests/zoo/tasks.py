"""Every network of the zoo that does a job."""

from __future__ import annotations

from tests.zoo.digits import DIGITS
from tests.zoo.faces import FACES
from tests.zoo.phonemes import PHONES
from tests.zoo.pitch import PITCH
from tests.zoo.resnet8 import CLOTHES
from tests.zoo.speech import SPEECH
from tests.zoo.text import DETECTION, ORIENTATION, RECOGNITION

TASKS = (
    DIGITS,
    CLOTHES,
    *FACES,
    RECOGNITION,
    DETECTION,
    ORIENTATION,
    SPEECH,
    PHONES,
    PITCH,
)
