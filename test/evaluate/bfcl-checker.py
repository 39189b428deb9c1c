"""Judges answers with BFCL's own AST checker (package bfcl-eval, imported without its model clients).

Reads JSON Lines of {"functions", "answer": [{"name", "arguments"}], "truth", "language", "category"} from stdin and
prints for each `true`, `false`, or `"error: ..."` where the checker itself fails.
"""

import json
import sys
import types


class AnyModel(dict):
    """The checker asks only whether a model's names have dots; here they have."""

    def __missing__(self, key):
        return types.SimpleNamespace(underscore_to_dot=False)


stub = types.ModuleType("bfcl_eval.constants.model_config")
stub.MODEL_CONFIG_MAPPING = AnyModel()
sys.modules["bfcl_eval.constants.model_config"] = stub

from bfcl_eval.constants.enums import Language  # noqa: E402
from bfcl_eval.eval_checker.ast_eval.ast_checker import ast_checker  # noqa: E402


def floats(value):
    """JSON from JavaScript writes 5.0 as 5; Python tells them apart inside lists."""
    if isinstance(value, list):
        return [floats(item) for item in value]
    return float(value) if type(value) is int else value


def float_lists(case):
    """Where a list of floats is declared, whole numbers in the answer and the truth are floats, as they were written."""
    for function in case["functions"]:
        for key, schema in function["parameters"].get("properties", {}).items():
            inner = schema.get("items") or {}
            if schema.get("type") not in ("array", "tuple") or inner.get("type") != "float":
                continue
            for call in case["answer"]:
                if call["name"] == function["name"] and isinstance(call["arguments"].get(key), list):
                    call["arguments"][key] = floats(call["arguments"][key])
            for truth in case["truth"]:
                for arguments in truth.values():
                    if key in arguments:
                        arguments[key] = floats(arguments[key])


for line in sys.stdin:
    case = json.loads(line)
    if case["language"] == "python":
        float_lists(case)
    answer = [{call["name"]: call["arguments"]} for call in case["answer"]]
    try:
        result = ast_checker(
            case["functions"], answer, case["truth"], Language(case["language"]), case["category"], "model"
        )
        print(json.dumps(bool(result["valid"])))
    except Exception as error:  # the checker's own failures are told, not hidden
        print(json.dumps(f"error: {type(error).__name__}: {error}"))
