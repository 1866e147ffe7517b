"""The other side of `clean.py`: answers requests from standard input, one JSON object a line.

It is run as text, not imported, and imports nothing of zoo: it represents somebody else's machine.
"""

import contextlib
import io
import json
import os
import sys


def tensors(output):
    """Every floating-point tensor in a model's output, in order."""
    import torch

    if torch.is_tensor(output):
        return [output] if output.is_floating_point() else []
    if isinstance(output, dict):
        output = list(output.values())
    return [part for item in output or () for part in tensors(item)] if isinstance(output, (list, tuple)) else []


def load(folder, auto_class, processors, inputs, outputs):
    """Load a model and its processors as its card says, and write its answers to a batch if there is one."""
    import torch
    import transformers
    from safetensors.torch import load_file, save_file

    options = {"trust_remote_code": True}
    loaded = [getattr(transformers, name).from_pretrained(folder, **options) for name in processors]
    model = getattr(transformers, auto_class).from_pretrained(folder, use_safetensors=True, **options).eval()
    if inputs is not None:
        with torch.no_grad():
            answers = tensors(model(**load_file(inputs), return_dict=False))
        save_file({str(number): part.contiguous().clone() for number, part in enumerate(answers)}, outputs)
    names = [type(processor).__name__ for processor in loaded]
    module, parameters = type(model).__module__, model.num_parameters()
    return {"class": type(model).__name__, "module": module, "parameters": parameters, "processors": names}


def run(code):
    """What a piece of code prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "<card>", "exec"), {"__name__": "__main__"})
    return {"output": printed.getvalue()}


def main():
    """Answer requests until standard input ends; what libraries print or ask is kept apart."""
    answers, requests = os.fdopen(os.dup(1), "w"), os.fdopen(os.dup(0))
    os.dup2(2, 1)
    sys.stdin = open(os.devnull)  # noqa: SIM115  transformers' question whether to run code gets no answer, and fails
    if os.environ.get("ZOO_WORKER") == "without_library":
        sys.modules["zoo"] = None  # type: ignore[assignment]  # importing it raises ImportError
    for line in requests:
        request = json.loads(line)
        try:
            answer = load(**request) if request.pop("do") == "load" else run(**request)
        except (Exception, SystemExit) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
