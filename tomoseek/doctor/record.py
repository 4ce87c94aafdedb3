"""``doctor.json``: everything that was found, for programs to read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tomoseek.doctor.findings import Finding, Level, count
from tomoseek.files import atomic_write_json
from tomoseek.provenance import code_version

RECORD = "doctor.json"


def write_record(out_dir: Path, findings: Sequence[Finding], settings: dict[str, Any]) -> Path:
    """Write the findings.

    Parameters
    ----------
    out_dir
        Created when missing.
    findings
        In the order in which they are told.
    settings
        What was asked for.

    Returns
    -------
    The file.
    """
    content = {
        "settings": settings,
        **code_version(),
        "num_problems": count(findings, Level.problem),
        "num_warnings": count(findings, Level.warning),
        "findings": [
            {
                "level": item.level.name, "run": item.run, "check": item.check, "text": item.text,
                "numbers": item.numbers or {},
            }
            for item in findings
        ],
    }  # fmt: skip
    atomic_write_json(out_dir / RECORD, content)
    return out_dir / RECORD
