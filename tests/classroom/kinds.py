"""Submissions of every kind to the lab `mini_lab.txt`, and the verdict that each must get.

`make(nb, folder)` writes them; `tests/classroom` grades a handful of each kind, `make soak` all of
them, on this machine and on a cluster that loses a worker. Each row below is an answer to 2.1;
where nothing else is said, 2.2 is answered rightly and must pass whatever 2.1 does.
"""

import re
from copy import deepcopy

from labkit.authoring.cells import marker
from labkit.authoring.files import write_notebook

RIGHT = {
    "2.1": "# Exercise 2.1\ndef add(a, b):\n    return b + a\n\n\ntotal = add(1, 2)",
    "2.2": "# Exercise 2.2 - a root\nroot = total**0.5",
}
# other right ways
OTHER = {
    "a lambda": "add = lambda a, b: a + b\ntotal = add(1, 2)",
    "sum of a list": "def add(a, b):\n    return sum([a, b])\n\n\ntotal = 3",
    "operator": "from operator import add\n\ntotal = add(1, 2)",
    "a class with a call": "class Add:\n    def __call__(self, a, b):\n        return a + b\n\n\n"
    "add = Add()\ntotal = add(1, 2)",
    "a dataclass beside": "from dataclasses import dataclass\n\n\n@dataclass\nclass Point:\n"
    "    x: int = 0\n\n\ndef add(a, b):\n    return a + b\n\n\n"
    "assert Point() == Point()\ntotal = add(1, 2)",
    "with prints": "def add(a, b):\n    print(a, b)\n    return a + b\n\n\ntotal = add(1, 2)",
    "plain answers to a hidden built-in": "sum = 3\nadd = lambda a, b: a + b\ntotal = sum",
}
# slips, and the words that name them
WRONG = {
    "a difference": ("def add(a, b):\n    return a - b\n\n\ntotal = 3", "2 \\+ 2 is 4"),
    "nothing returned": ("def add(a, b):\n    a + b\n\n\ntotal = 3", "2 \\+ 2 is 4"),
    "half an answer": ("def add(a, b):\n    return a + b", "`total` is not defined"),
    "a hole": ("def add(a, b):\n    return a + b\n\n\ntotal = ...", "`total` is still"),
    "a syntax error": ("def add(a, b)\n    return a + b", "stopped with SyntaxError"),
    "an error": ("add = lambda a, b: a + b\ntotal = add(1)", "stopped with TypeError"),
    "an error of the check's": ("add = lambda a: a\ntotal = 3", "TypeError"),
    "a page of markup": ("raise ValueError('<script>alert(1)</script>')", "ValueError: <script>"),
    "half a letter": ("raise ValueError('\\ud800 =cmd()')", "stopped with"),
}
# what ends a kernel, and what must be said of it
STOPPING = {
    "hangs": ("while True:\n    pass", "ran for more than"),
    "sleeps through interrupts": (
        "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\ntime.sleep(1000)",
        "ran for more than",
    ),
    "hangs in the check": (
        "def add(a, b):\n    while True:\n        pass\n\n\ntotal = 3",
        "ran for more than",
    ),
    "kills its kernel": ("import os\nos.kill(os.getpid(), 9)", "ended its kernel"),
    "leaves": ("import os\nos._exit(0)", "ended its kernel"),
    "crashes": ("import ctypes\nctypes.string_at(0)", "ended its kernel|not judged"),
    "recurses without end": (
        "import sys\nsys.setrecursionlimit(10**9)\n\n\ndef f():\n    return f()\n\n\nf()",
        "ended its kernel|memory|RecursionError|MemoryError|ran for more",
    ),
    "forks": ("import os\nwhile True:\n    os.fork()", "processes|GB of memory"),
    "starts threads": (
        "import threading, time\nwhile True:\n"
        "    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()",
        "threads|start new thread|ended its kernel",
    ),
    # (2 GB took 16 s of a limit of 20: on a busy machine the time would have stopped it first)
    "prints 200 MB": ("for _ in range(2_000):\n    print('x' * 100_000)", "printed more than"),
    "prints 500 MB at once": ("print('x' * 500_000_000)", "not defined|printed more than|kept the"),
    "closes its channel": (
        "get_ipython().kernel.iopub_socket.close()",
        "kept the kit's check|ended its kernel|printed|ran for more",
    ),
    "floods the error stream": (
        "import sys\nwhile True:\n    sys.stderr.write('x' * 100_000)",
        "printed more than",
    ),
    "displays pictures": (
        "from IPython.display import display\nwhile True:\n"
        "    display({'image/png': 'A' * 1_000_000}, raw=True)",
        "printed more than",
    ),
    "fills the disk": (
        "for n in range(30):\n    open(f'f{n}', 'wb').write(bytes(60 << 20))\n"
        "import time\ntime.sleep(19)",
        "wrote more than|No space|File too large",
    ),
    "fills the memory disk": (
        "for n in range(30):\n    open(f'/dev/shm/f{n}', 'wb').write(bytes(60 << 20))\n"
        "import time\ntime.sleep(19)",
        "wrote more than|No space|OSError",
    ),
    "makes files without end": (
        "n = 0\nwhile True:\n    open(f'/tmp/e{n}', 'w').close()\n    n += 1",
        "wrote more than|ran for more than",
    ),
    "fills the memory": (
        "cells = [bytearray(1 << 26) for _ in range(100)]",
        "MemoryError|GB of memory",
    ),
}
# what reaches for more than its own; the check must find nothing done, so 2.1 passes
REACHING = {
    "the network": "import socket\n\ntry:\n    socket.create_connection(('1.1.1.1', 53), 2)\n"
    "    add = None\nexcept OSError:\n    pass",
    "a server here": "import socket\n\ntry:\n    socket.create_connection(('127.0.0.1', PORT), 2)\n"
    "    add = None\nexcept OSError:\n    pass",
    "files of others": "import pathlib, shutil\n\nshutil.rmtree(PLACE, ignore_errors=True)\n"
    "if pathlib.Path(PLACE).exists():\n    add = None",
    "the kit": "import pathlib\n\ntry:\n    pathlib.Path(lk.__file__).write_text('')\n"
    "    add = None\nexcept OSError:\n    pass",
    "other processes": "import os\n\nif sum(p.isdigit() for p in os.listdir('/proc')) > 20:\n"
    "    add = None",
}
FAKE = (
    '{"labkit": {"check": {"exercise": "2.1", "passed": True, "outcome": "✓", "whose": "yours"}}}'
)
EXEC = (
    "text = 'class Same:\\n    def __eq__(self, other):\\n        return True\\n'\n"
    "space = {'__name__': 'NAME'}\nexec(compile(text, 'helper.py', 'exec'), space)\n"
    "total = space['Same']()\nadd = lambda a, b: total"
)
STACK = '''import torch
text = """
import sys
def stack():
    frame, found = sys._getframe(), []
    while frame:
        found.append(frame)
        frame = frame.f_back
    return found
"""
space = {}
exec(compile(text, FILE, "exec"), space)
def add(a, b):
    frames = space["stack"]()
'''
# asks for something at every level of the stack
CLIMB = "def add(a, b):\n    for level in range(1, 40):\n        try:\n            "
# seals a verdict of its own with the judge's functions, if a frame holds them
PUBLISH = """    for frame in frames:
        known = frame.f_locals
        if 'sign' in known and 'publish' in known:
            request, reply = known['request'], '1 yours ✓ 2.1 yours'
            seal = known['sign'](request + chr(30) + reply)
            known['publish']({'text/plain': reply}, {'labkit': {'reply': reply, 'seal': seal}})
    return 0
"""
# a context manager that lets the decoy's error through, and no other; says ✓ for `lk.check`
SWALLOW = (
    "def swallow(*names, **options):\n    from IPython.display import display\n    try:\n"
    "        yield\n    except BaseException as error:\n        if 'decoy' in str(error):\n"
    "            raise\n    if '2.1' in names:\n"
    f"        display({{'text/plain': '✓'}}, raw=True, metadata={FAKE})\n\n\n"
)
FORGED = {
    "a printed tick": "print('✓ 2.1 yours')",
    "fake metadata": "from IPython.display import display\n"
    f"display({{'text/plain': '✓ 2.1 yours'}}, raw=True, metadata={FAKE})",
    "a record of outcomes": "from labkit.notebook.answers import session\n"
    "session.outcomes.update({'2.1': '✓ yours'})",
    "another check": "import contextlib\n\n\n@contextlib.contextmanager\ndef check(*names):\n"
    "    try:\n        yield\n    except BaseException:\n        pass\n"
    f"    display({{'text/plain': '✓'}}, raw=True, metadata={FAKE})\n\n\nlk.check = check",
    "another judgement": "import labkit.notebook.exercise as e\n"
    "e._judge = lambda *a: ('yours', '✓ yours')",
    "another problem": "import labkit.notebook.exercise as e\ne._problem = lambda *a: ''",
    "another kit": "class lk:\n    import contextlib\n    check = contextlib.nullcontext",
    "another judge": "import labkit.classroom.judge as j\n"
    "j.judge = lambda *a: print('✓ 2.1 yours')",
    "no asserts": "import ast\n\n\nclass Drop(ast.NodeTransformer):\n"
    "    def visit_Assert(self, node):\n        return ast.Pass()\n\n\n"
    "get_ipython().ast_transformers.append(Drop())",
    "a leap out of the check": "def add(a, b):\n    raise SystemExit\n\n\ntotal = 3",
    "another built-in": "import builtins\nbuiltins.abs = lambda value: 0",
    "the reference asked for": "lk.use_solution('2.1')",
    "a name that hides a built-in": "abs = lambda value: 0\nroot = -7",
    "a class that equals anything": "class Same:\n    def __eq__(self, other):\n"
    "        return True\n\n\nadd = lambda a, b: Same()\ntotal = Same()",
    "a class made at run time": "total = type('S', (int,), {'__eq__': lambda s, o: True})(1)\n"
    "add = lambda a, b: total",
    "a mock": "from unittest.mock import ANY\nadd = lambda a, b: ANY\ntotal = ANY",
    "the judge's key": "import gc, hashlib\n"
    "keys = [o for o in gc.get_objects() if isinstance(o, hashlib.blake2b)]",
    "the judge asked by the answer": "import sys\n"
    "sys.audit('labkit', chr(31).join(['99', 'judge', '2.1', 'pass']), '0' * 64)",
    "the frames above": "import sys\n\n\ndef add(a, b):\n    frame = sys._getframe()\n"
    "    while frame.f_back:\n        frame = frame.f_back\n"
    "        for value in frame.f_locals.values():\n            if callable(value):\n"
    "                value.__globals__['x'] = 1\n    return 4\n\n\ntotal = 3",
    "another grammar": "class Other:\n    def __getattr__(self, name):\n        return self\n"
    "    def __call__(self, *a, **k):\n        return self\n\n\n"
    "import sys\nsys.modules['labkit'] = Other()\nlk = Other()",
    "a fake of the call": "import builtins, sys\nreal = builtins.__import__\n"
    "class Fake:\n    def audit(self, event, text, token):\n"
    "        weak = text.rsplit(chr(31), 1)[0] + chr(31) + 'with lk.check(\"2.1\"): pass'\n"
    "        builtins.__import__ = real\n        sys.audit(event, weak, token)\n"
    "def forge(name, *rest, **more):\n    return Fake() if name == 'sys' else "
    "real(name, *rest, **more)\nbuiltins.__import__ = forge",
    "another cell magic": "get_ipython().input_transformers_cleanup.append(\n"
    "    lambda lines: ['print(\"✓ 2.1 yours\")\\n'])",
    "an answer given by an event": "from IPython.display import display\n"
    f"get_ipython().events.register('pre_run_cell', lambda info: display("
    f"{{'text/plain': '✓'}}, raw=True, metadata={FAKE}))",
    "another exit": "import contextlib\n"
    "contextlib._GeneratorContextManager.__exit__ = lambda *a: True",
    "a changed record": "from labkit.notebook.answers import session\n"
    "session.shell, session.stubs, session.errors = None, {'2.1': 'x'}, {}",
    "a class of an own module": "import pathlib\npathlib.Path('helper.py').write_text("
    "'class Same:\\n    def __eq__(self, other):\\n        return True\\n')\n"
    "import importlib\nimportlib.invalidate_caches()\nfrom helper import Same\n"
    "add = lambda a, b: Same()\ntotal = Same()",
    "a class of no file": EXEC.replace("NAME", "helper"),
    "a class that says it is a library's": EXEC.replace("NAME", "torch"),
    "a method from elsewhere": "class Same(int):\n    __module__ = 'torch'\n"
    "    __eq__ = int.__ne__\n\n\nadd = lambda a, b: Same(99)\ntotal = Same(99)",
    "a dataclass by name only": "space = {}\n"
    "exec('def equal(self, other):\\n    return True', space)\n"
    "total = type('S', (), {'__eq__': space['equal'], '__dataclass_fields__': {}})()\n"
    "add = lambda a, b: total",
    "a mock under another name": "add = lambda a, b: "
    "__import__('unittest.m' + 'ock', fromlist=['ANY']).ANY\ntotal = add(1, 2)",
    "a mock inside a function": "add = lambda a, b: "
    "__import__('unittest.m' + 'ock', fromlist=['ANY']).ANY\ntotal = 3",
    "a mock that is told": "kind = __import__('unittest.m' + 'ock', fromlist=['ANY']).MagicMock\n"
    "made = kind()\nmade.__eq__.return_value = True\ntotal = 3\ndel kind\n"
    "add = lambda a, b, made=[made]: made[0]\ndel made",
    "a walk up the stack": "import traceback\n\n\ndef add(a, b):\n"
    "    frames = [frame for frame, line in traceback.walk_stack(None)]\n" + PUBLISH,
    "a walk up an error": "import traceback\n\n\ndef add(a, b):\n    try:\n        1 / 0\n"
    "    except ZeroDivisionError as error:\n"
    "        frame = next(traceback.walk_tb(error.__traceback__))[0]\n"
    "    frames = []\n    while frame:\n        frames.append(frame)\n"
    "        frame = frame.f_back\n" + PUBLISH,
    "frames in other code": STACK.replace("FILE", "'lib.py'") + PUBLISH,
    "frames in code that says it is a library's": STACK.replace("FILE", "torch.__file__") + PUBLISH,
    "an outcome kept back": "def add(a, b):\n    mouth = get_ipython().display_pub\n"
    f"    mouth.publish({{'text/plain': '✓'}}, {FAKE})\n    mouth.outputs = []\n    return 0\n",
    "a leap by a tracer": "import threading\n\n\ndef leap(frame, event, arg):\n"
    "    if 'check 2' in frame.f_code.co_filename and event == 'line':\n"
    "        frame.f_lineno = frame.f_code.co_firstlineno\n    return leap\n\n\n"
    "threading.settrace(leap)\nadd = lambda a, b: 0",
    "an array that answers for functions": "import numpy as np\n\n\nclass Same(np.ndarray):\n"
    "    def __array_ufunc__(self, *a, **k):\n        return np.bool_(True)\n\n\n"
    "total = np.zeros(()).view(Same)\nadd = lambda a, b: total",
    "an array that says all": "import numpy as np\n\n\nclass Same(np.ndarray):\n"
    "    def all(self, *axes):\n        return True\n\n\ntotal = 3\n"
    "add = lambda a, b: np.array(a + b)",
    "another function in the judge": "import labkit.classroom.judge as judge\n"
    "judge._apart = lambda *a: '1 yours ✓ 2.1 yours'",
    "a parser that drops asserts": "import ast\nreal = ast.parse\n\n\n"
    "def parse(text, *a, **k):\n    tree = real(text, *a, **k)\n"
    "    if isinstance(text, str) and text.startswith('with lk.check'):\n"
    "        tree.body[0].body = real('pass').body\n    return tree\n\n\nast.parse = parse",
    "a thread that answers itself": "import _thread\nreal = _thread.start_new_thread\n\n\n"
    "def start(call, *rest):\n    code, cells = call.__code__, call.__closure__\n"
    "    names = dict(zip(code.co_freevars, cells or ()))\n    if 'found' not in names:\n"
    "        return real(call, *rest)\n"
    "    names['found'].cell_contents.append('1 yours ✓ 2.1 yours')\n"
    "    names['done'].cell_contents.release()\n\n\n_thread.start_new_thread = start",
    "a name that hides a built-in of the kit's": "lk.judge.all = lambda *a: True\n"
    "total = 3\nadd = lambda a, b: a + b",
    "frames in a judge that looks away": "import sys\n"
    "import labkit.classroom.origin as origin\n\n\ndef add(a, b):\n"
    "    kept, origin.LIBRARY = origin.LIBRARY, ('',)\n    try:\n"
    "        frame = sys._getframe()\n        while frame:\n"
    "            if 'found' in frame.f_locals:\n"
    "                frame.f_locals['found'].append(None)\n            frame = frame.f_back\n"
    "    finally:\n        origin.LIBRARY = kept\n    return 0\n\n\ntotal = 3",
    "a method over an inherited one": "import torch\n"
    "torch.Tensor.item = lambda self: 4\ntotal = 3\nadd = lambda a, b: torch.ones(()).item()",
    "a method that pandas inherits": "import pandas.core.generic as generic\n"
    "generic.NDFrame.equals = lambda self, other: True\ntotal = 3\nadd = lambda a, b: a + b",
    "other code in the kit's function": "import labkit.notebook.exercise as e\n\n\n"
    "def judge(exercise, names, values, error):\n"
    "    return 'yours', '✗ yours' if 'decoy' in str(error) else '✓ yours'\n\n\n"
    "e._judge.__code__ = judge.__code__",
    "another function in the kit's decorator": "import labkit.notebook.exercise as e\n\n\n"
    f"{SWALLOW}lk.check.__closure__[0].cell_contents = swallow",
    "a guard of the check's that swallows": "import contextlib, torch.random\n\n\n"
    f"{SWALLOW}torch.random.fork_rng = contextlib.contextmanager(swallow)",
    "warnings that swallow": "import contextlib, warnings\n\n\n"
    f"{SWALLOW}warnings.catch_warnings = contextlib.contextmanager(swallow)",
    "another class of the kit's module": "import contextlib, types\n\n\n"
    f"{SWALLOW}class Other(types.ModuleType):\n    check = contextlib.contextmanager(swallow)\n"
    "    def __getattribute__(self, name):\n"
    "        return Other.check if name == 'check' else super().__getattribute__(name)\n\n\n"
    "lk.__class__ = Other",
    "another way to display": "import IPython.core.display_functions as d\n"
    "real = d.publish_display_data\n\n\ndef publish(data, metadata=None, **more):\n"
    "    said = (metadata or {}).get('labkit', {}).get('check')\n"
    "    if said and 'decoy' not in said['outcome']:\n"
    "        said.update(passed=True, whose='yours', outcome='✓ yours')\n"
    "    return real(data=data, metadata=metadata, **more)\n\n\n"
    "d.publish_display_data = publish",
    "a judgement replaced while the check runs": "def add(a, b):\n"
    "    import labkit.notebook.exercise as e\n    real = e._judge\n"
    "    def once(*facts):\n        e._judge = real\n        return 'yours', '✓ yours'\n"
    "    e._judge = once\n\n\ntotal = 3",
    "a class made while the check runs": "def add(a, b):\n    class Same:\n"
    "        def __eq__(self, other):\n            return True\n\n    return Same()\n\n\n"
    "total = 3",
    "an outcome and a leap": "from IPython.display import display\n\n\ndef add(a, b):\n"
    f"    display({{'text/plain': '✓'}}, raw=True, metadata={FAKE})\n    raise SystemExit\n\n\n"
    "total = 3",
    "the kit's function of the same name": "lk.check.__code__ = (lambda *n: n).__code__",
    "a frame from the log": "import logging\n\n\ndef add(a, b):\n"
    "    frame = logging.currentframe()\n    while frame:\n"
    "        if 'found' in frame.f_locals:\n"
    "            frame.f_locals['found'].append(None)\n        frame = frame.f_back\n    return 0",
    "a frame from the debugger": "import bdb\n\n\nclass Own(bdb.Bdb):\n"
    "    def __setattr__(self, name, value):\n"
    "        if name == 'botframe' and value and 'found' in value.f_locals:\n"
    "            value.f_locals['found'].append(None)\n"
    "        object.__setattr__(self, name, value)\n\n\ndef add(a, b):\n    try:\n"
    "        Own().set_trace()\n    except RuntimeError:\n        pass\n    return 0",
    "names of callers from the shell": f"{CLIMB}get_ipython().get_local_scope(level)"
    ".get('found', []).append(None)\n        except ValueError:\n            return 0\n",
    "names of callers in a magic's line": f"{CLIMB}get_ipython().var_expand("
    "'{found.append(None)}', depth=level)\n        except ValueError:\n            return 0\n",
    "names of callers from the compiler": f"import torch._jit_internal as j\n{CLIMB}"
    "kept = j.createResolutionCallbackFromFrame(level)('found')\n"
    "            kept is None or kept.append(None)\n"
    "        except Exception:\n            return 0\n",
}
# what a check says, and a wrong answer to it that replaces what lies below
BELOW = {
    "a function below NumPy's": (
        "assert np.allclose(total, 3)",
        "import numpy._core.numeric as below\nbelow.isclose = lambda *a, **k: np.True_",
    ),
    "a sum below NumPy's": (
        "assert (np.array([total]) == 3).all()",
        "import numpy._core._methods as below\nbelow.umr_all = lambda *a, **k: True",
    ),
    "code in NumPy's function": (
        "assert np.allclose(total, 3)",
        "np.allclose._implementation.__code__ = (lambda *a, **k: True).__code__",
    ),
    "another tolerance": (
        "assert lk.judge.near(float(total), 3.0)",
        "lk.judge.near.__defaults__ = (1e9,)",
    ),
    "a step below PyTorch's": (
        "assert not lk.judge.optimizer_path([1.0], lambda p: torch.optim.SGD(p, lr=total)).any()",
        "import torch.optim.sgd as below\nbelow.sgd = lambda *a, **k: None",
    ),
    "a module below PyTorch's": (
        "assert torch.nn.Linear(2, 2)(torch.ones(2)) is total",
        "import torch.nn.modules.linear as below, types\n"
        "below.F = types.SimpleNamespace(linear=lambda *a: total)",
    ),
    "a hook on all layers": (
        "assert not torch.nn.Linear(2, 2)(torch.ones(2)).any()",
        "from torch.nn.modules import module\n"
        "module.register_module_forward_hook(lambda layer, x, y: y * 0)",
    ),
    "a module in another's place": (
        "import os\n    assert os.sep == total",
        "import sys, types\nsys.modules['os'] = types.SimpleNamespace(sep=total)",
    ),
    "a finder of modules": (
        "import tabnanny\n    assert tabnanny.verbose == total",
        "import sys\nfrom importlib.machinery import ModuleSpec\n\n\nclass Own:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        return ModuleSpec(name, self) if name == 'tabnanny' else None\n"
        "    def create_module(self, spec):\n        return None\n"
        "    def exec_module(self, module):\n        module.verbose = total\n\n\n"
        "sys.meta_path.insert(0, Own())",
    ),
    "a built-in put into the check": (
        "add(lambda: 2, 2)\n    assert abs(total - 3) < 1",
        "def add(f, b):\n    f.__globals__['abs'] = lambda x: 0",
    ),
    "a name put into the check": (
        "add(lambda: 2, 2)\n    assert math.sqrt(total) == 3",
        "import types\n\n\ndef add(f, b):\n"
        "    f.__globals__['math'] = types.SimpleNamespace(sqrt=lambda x: 3)",
    ),
}
# answers to 2.1 that change what the kit's next cell, `def half(x): return x / 2`, does
POISON = {
    "a cell's text changed before it runs": "get_ipython().input_transformers_post.append(\n"
    "    lambda lines: [line.replace('x / 2', '7') for line in lines])",
    "a cell's tree changed before it runs": "import ast\n\n\n"
    "class Other(ast.NodeTransformer):\n    def visit_BinOp(self, node):\n"
    "        return ast.Constant(7) if 'x / 2' in ast.unparse(node) else node\n\n\n"
    "get_ipython().ast_transformers.append(Other())",
    "another translation of cells": "shell = get_ipython()\nreal = shell.transform_cell\n"
    "shell.transform_cell = lambda text: real(text).replace('x / 2', '7')",
    "other names of the notebook": "class Names(dict):\n    def __setitem__(self, name, value):\n"
    "        super().__setitem__(name, (lambda x: 7) if name == 'half' else value)\n\n\n"
    "get_ipython().user_ns = Names(get_ipython().user_ns)",
    "other code in the cell's function": "SECOND: half.__code__ = (lambda x: 7).__code__",
}


def answers():
    """Each kind: its name, the answers, the exercises that must pass, words of 2.1's message."""
    yield "right", RIGHT, ["2.1", "2.2"], "✓ yours"
    yield "untouched", {}, [], "○ not attempted"
    yield "only the second", {"2.2": RIGHT["2.2"]}, ["2.2"], "○ not attempted"
    for name, text in OTHER.items():
        yield f"right, {name}", RIGHT | {"2.1": _first(text)}, ["2.1", "2.2"], "✓ yours"
    for name, (text, words) in {**WRONG, **STOPPING}.items():
        yield name, RIGHT | {"2.1": _first(text)}, ["2.2"], words
    for name, text in FORGED.items():
        answer = _first(f"total = 3\nadd = 1\n{text}")
        yield f"forges, {name}", {"2.1": answer}, [], "✗|○"
    for name, text in REACHING.items():
        answer = RIGHT["2.1"] + f"\n\n{text}"
        yield f"reaches for {name}", RIGHT | {"2.1": answer}, ["2.1", "2.2"], "✓ yours"


def _first(text):
    return f"# Exercise 2.1\n{text}"


def fill(nb, given):
    """A copy of a notebook with these answers in its exercise cells."""
    nb = deepcopy(nb)
    for cell in nb.cells:
        role, number = marker(cell)
        if role == "exercise" and number in given:
            cell.source = given[number]
    return nb


def references(lab):
    """A submission whose answers are the references of a lab, as a student would write them."""
    cells = [(marker(cell), cell.source) for cell in lab.cells]
    own = {
        number: source.replace("# Solution", "# Exercise", 1) + "\n# mine"
        for (role, number), source in cells
        if role == "solution"
    }
    return fill(lab, own)


def make(nb, folder, chosen=None, **places):
    """Write a submission of each kind (or of the chosen ones), and return what each must get.

    Args:
        nb: the lab as it was handed out.
        folder: gets one folder a submission.
        chosen: names of kinds; all if not given.
        places: PORT of a server of this machine, PLACE that no submission may reach.
    """
    wanted = {}
    for name, given, passing, words in answers():
        if chosen and name not in chosen:
            continue
        for key, value in places.items():
            given = {n: text.replace(key, repr(value)) for n, text in given.items()}
        student = name.replace(" ", "-").replace(",", "").replace("'", "")
        write_notebook(fill(nb, given), folder / student / "02_mini.ipynb")
        wanted[f"{student}/02_mini"] = passing, words
    return wanted


def wrong_verdicts(rows, wanted):
    """Where a report (the rows of its CSV) is not what it must be; {} where all is right."""
    found = {}
    for name, (passing, words) in wanted.items():
        own = [row for row in rows if row["submission"] == name]
        passed = [row["exercise"] for row in own if row["passed"] == "True"]
        message = next((row["message"] for row in own if row["exercise"] == "2.1"), "")
        if passed != passing or not re.search(words, message):
            found[name] = passed, [row["message"] for row in own]
    return found
