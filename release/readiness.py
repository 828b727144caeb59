"""Whether everything is written down that a release needs."""

import yaml

from release import changelog


def missing(version: str, text: str, contract: bytes, released: bytes, changes: str) -> list[str]:
    """What keeps this version from being released.

    Args:
        version: of the package.
        text: the changelog.
        contract: the contract as it is written.
        released: that of the last release, as it is stored for the next one; empty where there is none.
        changes: what git says is not committed.
    """
    sections = {section.version: section for section in changelog.sections(text)}
    found = changelog.faults(text)
    if changelog.number_of(version) is None:
        found.append(f"{version} in src/eventbus_gateway/__init__.py is no version such as 1.2.3")
    if version not in sections:
        found.append(f"CHANGELOG.md has no section '## {version} - <day>'")
    if changelog.UNRELEASED in sections and sections[changelog.UNRELEASED].text:
        found.append(f"CHANGELOG.md has changes under {changelog.UNRELEASED}, which are in what was built")
    if yaml.safe_load(contract)["info"]["version"] != version:
        found.append(f"openapi/openapi.yaml is not of version {version}")
    if released != contract:
        found.append("openapi/released.yaml is not a copy of openapi/openapi.yaml, made once the tests had passed")
    if changes:
        found.append("there are changes that are not committed")
    return found
