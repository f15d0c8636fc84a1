"""A small security scan: walks the syntax trees of the given folders and writes SARIF.

    python3 tools/scan.py src > scan.sarif
"""

import ast
import json
import pathlib
import sys

RULES = {
    "no-eval": ("error", "Code is made from text at run time."),
    "no-shell": ("error", "A shell is started with text."),
    "no-pickle": ("error", "Pickled data can run code when it is read."),
    "no-secret": ("error", "This looks like a secret in the source."),
    "bind-all": ("note", "The server listens on every address; the container's network is what limits it."),
}


def name_of(node):
    """`a.b` for an attribute or name."""
    if isinstance(node, ast.Attribute):
        return f"{name_of(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def findings(tree):
    """Rule and line of each finding in one file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = name_of(node.func)
            if name in ("eval", "exec"):
                yield "no-eval", node.lineno
            if name == "os.system" or any(
                word.arg == "shell" and getattr(word.value, "value", None) is True for word in node.keywords
            ):
                yield "no-shell", node.lineno
            if name in ("pickle.load", "pickle.loads"):
                yield "no-pickle", node.lineno
            if name.endswith("HTTPServer") and node.args and isinstance(node.args[0], ast.Tuple):
                if getattr(node.args[0].elts[0], "value", None) in ("", "0.0.0.0"):
                    yield "bind-all", node.lineno
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if node.value.startswith(("ghp_", "AKIA", "-----BEGIN")) and len(node.value) > 20:
                yield "no-secret", node.lineno


def main(folders):
    """Scan all files below the folders."""
    results = []
    for folder in folders:
        for path in sorted(pathlib.Path(folder).rglob("*.py")):
            for rule, line in findings(ast.parse(path.read_text(), str(path))):
                level, text = RULES[rule]
                place = {"artifactLocation": {"uri": str(path)}, "region": {"startLine": line}}
                results.append(
                    {"ruleId": rule, "level": level, "message": {"text": text}, "locations": [{"physicalLocation": place}]}
                )
    rules = [{"id": rule, "shortDescription": {"text": text}} for rule, (_, text) in RULES.items()]
    run = {"tool": {"driver": {"name": "tides-scan", "rules": rules}}, "results": results}
    schema = "https://json.schemastore.org/sarif-2.1.0.json"
    json.dump({"$schema": schema, "version": "2.1.0", "runs": [run]}, sys.stdout, indent=2)
    print(f"{len(results)} findings", file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1:])
