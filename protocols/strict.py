"""The base of everything that is read from a file or a peer as named fields."""
from __future__ import annotations

import tomllib
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from protocols.errors import ConfigError


class Strict(BaseModel):
    """Immutable, and refuses what it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def from_toml_text(cls, text: str, source: str = "settings") -> Self:
        """Parse and validate TOML; ConfigError names `source` and the setting."""
        try:
            return cls.model_validate(tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{source}: not valid TOML ({error})") from None
        except RecursionError:
            raise ConfigError(f"{source}: not valid TOML (values nested too deeply)") from None
        except ValidationError as error:
            raise ConfigError(f"{source}: {first_problem(error)}") from None


def first_problem(error: ValidationError) -> str:
    """One sentence out of pydantic's list: which settings, what is wrong with them (three at most), how many more."""
    problems = error.errors(include_url=False, include_input=False)
    told = [f"setting {'.'.join(map(str, p['loc'])) or 'the whole'}: {p['msg']}" for p in problems[:3]]
    more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""
    return "; ".join(told) + more
