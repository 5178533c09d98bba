"""``cimc version``."""

from __future__ import annotations

import click


def show_version(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    """Print the version and stop, for ``--version``."""
    if value and not context.resilient_parsing:
        from cimc.version import __version__

        click.echo(f"cimc {__version__}")
        context.exit()


@click.command("version")
def version_command() -> None:
    """Show the version."""
    from cimc.version import __version__

    click.echo(f"cimc {__version__}")
