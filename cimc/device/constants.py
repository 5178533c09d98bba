"""Physical constants, all exact by definition.

The International System of Units (SI), 9th edition, BIPM 2019, section 2.2: the 2019 revision
fixes both; CODATA 2018 lists the same values.
"""

from __future__ import annotations

from typing import Final

#: Boltzmann constant [J/K].
BOLTZMANN_J_PER_K: Final = 1.380649e-23
#: Elementary charge [C].
ELEMENTARY_CHARGE_C: Final = 1.602176634e-19
#: Boltzmann constant [eV/K].
BOLTZMANN_EV_PER_K: Final = BOLTZMANN_J_PER_K / ELEMENTARY_CHARGE_C
