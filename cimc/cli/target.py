"""``cimc target``: the devices that can be compiled for."""

from __future__ import annotations

import click

from cimc.cli.options import json_option


@click.group("target")
def target_group() -> None:
    """List, show and check targets."""


@target_group.command("list")
@json_option
def list_command(as_json: bool) -> None:
    """List the shipped targets."""
    from cimc.cli.output import emit_json
    from cimc.targets import list_targets, load_target

    targets = {name: load_target(name) for name in list_targets()}
    if as_json:
        emit_json({"targets": {n: t.description for n, t in targets.items()}})
        return
    for name, target in targets.items():
        click.echo(f"{name:<12} {target.description}".rstrip())


@target_group.command("show")
@click.argument("name")
@json_option
def show_command(name: str, as_json: bool) -> None:
    """Show the target NAME (a shipped name or a file): every setting, defaults and sources."""
    from cimc.cli.output import emit_json
    from cimc.targets import describe, load_target

    target = load_target(name)
    if as_json:
        emit_json(target.plain())
    else:
        click.echo(describe(target))


@target_group.command("check")
@click.argument("file")
@json_option
def check_command(file: str, as_json: bool) -> None:
    """Check the target FILE; report every mistake, and every setting left to its default."""
    from cimc.cli.output import emit_json
    from cimc.targets import load_target

    target = load_target(file)
    if as_json:
        emit_json({"target": target.name, "valid": True, "defaulted": target.defaulted})
        return
    click.echo(f"{file}: target '{target.name}' is valid")
    for line in target.defaulted:
        click.echo(f"  default: {line}")


@target_group.command("schema")
def schema_command() -> None:
    """Print the JSON schema of target files."""
    from cimc.cli.output import emit_json
    from cimc.targets import json_schema

    emit_json(json_schema())
