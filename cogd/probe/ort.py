"""ONNX Runtime by its C API: the library of the onnxruntime wheel, without the wheel's Python and without NumPy.

`OrtGetApiBase()->GetApi(version)` gives a table of functions that is only ever appended to. The places below are those
of `struct OrtApi` in onnxruntime_c_api.h, which onnxruntime_c_api.cc asserts for every version (place 101 is the last
of version 1, 149 of version 5). All of version 1 but for `AddSessionConfigEntry`, which is of version 5.
"""

from __future__ import annotations

import _thread
import ctypes
import os
import sys
from ctypes import CFUNCTYPE, POINTER, byref, c_char_p, c_float, c_int, c_int64, c_size_t, c_uint32, c_void_p

from cogd.backends.onnx import LOG_ERRORS_ONLY, SESSION_CONFIG, THREADS
from cogd.errors import CogdError, ModelError
from cogd.probe.not_quick import NotQuick

TYPE_CHECKING = False
if TYPE_CHECKING:
    from array import array
    from collections.abc import Sequence

API_VERSION = 20
"""Of the oldest ONNX Runtime that cogd takes (pyproject.toml); a newer one serves it too."""

_LIBRARY = "libonnxruntime.so."

_FLOAT = 1  # ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT
_DEVICE_ALLOCATOR, _DEFAULT_MEMORY = 0, 0  # OrtDeviceAllocator, OrtMemTypeDefault

# Place in the table: arguments. All return an OrtStatus*, which is null when all went well.
_CREATE_ENV = 3, (c_int, c_char_p, c_void_p)
_CREATE_SESSION_FROM_ARRAY = 8, (c_void_p, c_char_p, c_size_t, c_void_p, c_void_p)
_RUN = 9, (c_void_p, c_void_p, c_void_p, c_void_p, c_size_t, c_void_p, c_size_t, c_void_p)
_CREATE_SESSION_OPTIONS = 10, (c_void_p,)
_SET_SESSION_EXECUTION_MODE = 13, (c_void_p, c_int)
_SET_SESSION_LOG_SEVERITY_LEVEL = 22, (c_void_p, c_int)
_SET_INTRA_OP_NUM_THREADS = 24, (c_void_p, c_int)
_SET_INTER_OP_NUM_THREADS = 25, (c_void_p, c_int)
_SESSION_GET_INPUT_COUNT = 30, (c_void_p, c_void_p)
_SESSION_GET_OUTPUT_COUNT = 31, (c_void_p, c_void_p)
_SESSION_GET_INPUT_TYPE_INFO = 33, (c_void_p, c_size_t, c_void_p)
_SESSION_GET_OUTPUT_TYPE_INFO = 34, (c_void_p, c_size_t, c_void_p)
_SESSION_GET_INPUT_NAME = 36, (c_void_p, c_size_t, c_void_p, c_void_p)
_SESSION_GET_OUTPUT_NAME = 37, (c_void_p, c_size_t, c_void_p, c_void_p)
_CREATE_TENSOR_WITH_DATA = 49, (c_void_p, c_void_p, c_size_t, c_void_p, c_size_t, c_int, c_void_p)
_GET_TENSOR_MUTABLE_DATA = 51, (c_void_p, c_void_p)
_CAST_TYPE_INFO_TO_TENSOR_INFO = 55, (c_void_p, c_void_p)
_GET_TENSOR_ELEMENT_TYPE = 60, (c_void_p, c_void_p)
_GET_DIMENSIONS_COUNT = 61, (c_void_p, c_void_p)
_GET_DIMENSIONS = 62, (c_void_p, c_void_p, c_size_t)
_GET_TENSOR_TYPE_AND_SHAPE = 65, (c_void_p, c_void_p)
_CREATE_CPU_MEMORY_INFO = 69, (c_int, c_int, c_void_p)
_ALLOCATOR_FREE = 76, (c_void_p, c_void_p)
_GET_ALLOCATOR_WITH_DEFAULT_OPTIONS = 78, (c_void_p,)
_ADD_SESSION_CONFIG_ENTRY = 130, (c_void_p, c_char_p, c_char_p)

_M_TOP_PAD = -2  # of glibc's malloc.h

# Places of what returns something else.
_GET_ERROR_MESSAGE = 2
_RELEASE_ENV, _RELEASE_STATUS, _RELEASE_MEMORY_INFO, _RELEASE_SESSION, _RELEASE_VALUE = 92, 93, 94, 95, 96
_RELEASE_TYPE_INFO, _RELEASE_TENSOR_TYPE_AND_SHAPE_INFO, _RELEASE_SESSION_OPTIONS = 98, 99, 100


class Runtime:
    """The library and its environment."""

    def __init__(self, path: str) -> None:
        """Load the library and let it register what it knows; most of the time it takes is spent without the GIL.

        Raises:
            NotQuick: it can't be loaded, or has not this C API.
            ModelError: it can't make an environment.
        """
        try:
            get_base = ctypes.CDLL(path).OrtGetApiBase
        except (OSError, AttributeError) as error:
            raise NotQuick(f"{os.path.basename(path)} can't be used: {error}") from None
        get_base.restype = POINTER(c_void_p)
        get_api = CFUNCTYPE(POINTER(c_void_p), c_uint32)(get_base()[0])
        table = get_api(API_VERSION)
        if not table:
            raise NotQuick(f"{os.path.basename(path)} has no C API of version {API_VERSION}")
        self._table = table
        self.env = c_void_p()
        self.call(_CREATE_ENV, LOG_ERRORS_ONLY, b"cogd", byref(self.env))

    def call(self, function: tuple[int, tuple[type, ...]], *arguments: object) -> None:
        """Call a function of the table.

        Raises:
            ModelError: with what ONNX Runtime says.
        """
        place, types = function
        status = CFUNCTYPE(c_void_p, *types)(self._table[place])(*arguments)
        if status:
            message = CFUNCTYPE(c_char_p, c_void_p)(self._table[_GET_ERROR_MESSAGE])(status)
            self.release(_RELEASE_STATUS, c_void_p(status))
            raise ModelError(f"ONNX Runtime: {(message or b'').decode(errors='replace')}")

    def release(self, place: int, thing: c_void_p) -> None:
        """Give something back; null is let be."""
        if thing.value is not None:
            CFUNCTYPE(None, c_void_p)(self._table[place])(thing)

    def close(self) -> None:
        """Give the environment back."""
        self.release(_RELEASE_ENV, self.env)


class Tensor:
    """Name and shape of an input or output; -1 is a free axis, None what is no float32 tensor."""

    __slots__ = ("name", "shape")

    def __init__(self, name: bytes, shape: list[int] | None) -> None:
        self.name, self.shape = name, shape


class Session:
    """A loaded model, with the options of the backend `ort`."""

    def __init__(self, runtime: Runtime, model: bytes) -> None:
        """Load a model from verified bytes that are known to hold all its weights.

        Raises:
            ModelError: ONNX Runtime refuses it.
        """
        self._runtime, call = runtime, runtime.call
        self._session, options = c_void_p(), c_void_p()
        call(_CREATE_SESSION_OPTIONS, byref(options))
        try:
            call(_SET_INTRA_OP_NUM_THREADS, options, THREADS)
            call(_SET_INTER_OP_NUM_THREADS, options, THREADS)
            call(_SET_SESSION_EXECUTION_MODE, options, 0)  # ORT_SEQUENTIAL
            call(_SET_SESSION_LOG_SEVERITY_LEVEL, options, LOG_ERRORS_ONLY)
            for key, value in SESSION_CONFIG.items():
                call(_ADD_SESSION_CONFIG_ENTRY, options, key.encode(), value.encode())
            call(_CREATE_SESSION_FROM_ARRAY, runtime.env, model, len(model), options, byref(self._session))
        finally:
            runtime.release(_RELEASE_SESSION_OPTIONS, options)
        self.inputs = self._describe(_SESSION_GET_INPUT_COUNT, _SESSION_GET_INPUT_NAME, _SESSION_GET_INPUT_TYPE_INFO)
        self.outputs = self._describe(
            _SESSION_GET_OUTPUT_COUNT, _SESSION_GET_OUTPUT_NAME, _SESSION_GET_OUTPUT_TYPE_INFO
        )

    def run(
        self, values: array[float], shape: Sequence[int], outputs: Sequence[bytes]
    ) -> list[tuple[list[int], bytes]]:
        """Shape and float32 values, in native byte order, of each of `outputs` for one input of `shape`.

        Raises:
            ModelError: ONNX Runtime can't.
        """
        runtime, call = self._runtime, self._runtime.call
        memory, given = c_void_p(), c_void_p()
        results = (c_void_p * len(outputs))()  # null: ONNX Runtime makes them
        buffer = (c_float * len(values)).from_buffer(values)
        axes = (c_int64 * len(shape))(*shape)
        try:
            call(_CREATE_CPU_MEMORY_INFO, _DEVICE_ALLOCATOR, _DEFAULT_MEMORY, byref(memory))
            size = len(values) * values.itemsize
            call(_CREATE_TENSOR_WITH_DATA, memory, buffer, size, axes, len(shape), _FLOAT, byref(given))
            names_in = (c_char_p * 1)(self.inputs[0].name)
            names_out = (c_char_p * len(outputs))(*outputs)
            call(_RUN, self._session, None, names_in, byref(given), 1, names_out, len(outputs), results)
            return [self._read(c_void_p(result)) for result in results]
        finally:
            for thing in (given, *(c_void_p(result) for result in results)):
                runtime.release(_RELEASE_VALUE, thing)
            runtime.release(_RELEASE_MEMORY_INFO, memory)

    def close(self) -> None:
        """Give the session back."""
        self._runtime.release(_RELEASE_SESSION, self._session)

    def _read(self, value: c_void_p) -> tuple[list[int], bytes]:
        info, data = c_void_p(), c_void_p()
        self._runtime.call(_GET_TENSOR_TYPE_AND_SHAPE, value, byref(info))
        try:
            shape = self._shape(info)
        finally:
            self._runtime.release(_RELEASE_TENSOR_TYPE_AND_SHAPE_INFO, info)
        if shape is None:
            raise ModelError("ONNX Runtime: an output is not float32")
        self._runtime.call(_GET_TENSOR_MUTABLE_DATA, value, byref(data))
        count = 4
        for axis in shape:
            count *= axis
        return shape, ctypes.string_at(data, count)

    def _describe(
        self,
        count_of: tuple[int, tuple[type, ...]],
        name_of: tuple[int, tuple[type, ...]],
        type_of: tuple[int, tuple[type, ...]],
    ) -> list[Tensor]:
        call, count, allocator = self._runtime.call, c_size_t(), c_void_p()
        call(_GET_ALLOCATOR_WITH_DEFAULT_OPTIONS, byref(allocator))
        call(count_of, self._session, byref(count))
        tensors: list[Tensor] = []
        for index in range(count.value):
            name, info, tensor = c_char_p(), c_void_p(), c_void_p()
            call(name_of, self._session, index, allocator, byref(name))
            said = name.value or b""
            call(_ALLOCATOR_FREE, allocator, name)
            call(type_of, self._session, index, byref(info))
            try:
                call(_CAST_TYPE_INFO_TO_TENSOR_INFO, info, byref(tensor))  # part of `info`; null: it is no tensor
                tensors.append(Tensor(said, self._shape(tensor) if tensor.value is not None else None))
            finally:
                self._runtime.release(_RELEASE_TYPE_INFO, info)
        return tensors

    def _shape(self, info: c_void_p) -> list[int] | None:
        """The axes of a float32 tensor; None for others."""
        call, kind, count = self._runtime.call, c_int(), c_size_t()
        call(_GET_TENSOR_ELEMENT_TYPE, info, byref(kind))
        if kind.value != _FLOAT:
            return None
        call(_GET_DIMENSIONS_COUNT, info, byref(count))
        axes = (c_int64 * count.value)()
        call(_GET_DIMENSIONS, info, axes, count.value)
        return [*axes]


class Starting:
    """The library and its environment, made on a thread of their own: that takes as long as reading and verifying.

    No model goes there before everything of it has been verified.
    """

    def __init__(self) -> None:
        self._path = find_library()
        self._made: Runtime | Exception | None = None
        self._done = _thread.allocate_lock()
        self._done.acquire()
        _grow_in_large_steps()
        try:
            _thread.start_new_thread(self._start, ())
        except RuntimeError as error:  # too many
            raise NotQuick(str(error)) from None

    def _start(self) -> None:
        try:
            self._made = Runtime(self._path)
        except (NotQuick, CogdError) as error:  # handed to whoever waits
            self._made = error
        finally:
            self._done.release()

    def join(self) -> None:
        """Wait until the thread is done."""
        with self._done:
            pass

    def wait(self) -> Runtime:
        """The runtime, once it is there.

        Raises:
            NotQuick: there is none.
        """
        self.join()
        if not isinstance(self._made, Runtime):
            raise NotQuick(str(self._made))
        return self._made


def _grow_in_large_steps() -> None:
    """Let glibc's malloc grow a heap by 8 MiB at once.

    That of a thread grows page by page otherwise: 1700 system calls for what the library registers, 2 ms of 20.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # another libc
        return
    mallopt(_M_TOP_PAD, 8 << 20)


def find_library() -> str:
    """The library of the installed wheel, which is not imported.

    Raises:
        NotQuick: there is none, or more than one; or something is missing that the daemon imports in its place.
    """
    for needed in ("numpy", "cogd_ort"):
        if not any(os.path.exists(os.path.join(folder, needed, "__init__.py")) for folder in sys.path):
            raise NotQuick(f"{needed} is not installed")
    names: list[str] = []
    capi = ""
    for folder in sys.path:
        capi = os.path.join(folder, "onnxruntime", "capi")
        try:
            names = os.listdir(capi)
        except OSError:
            continue  # not here
        break  # what Python would import
    if not any(name.startswith("onnxruntime_pybind11_state.") for name in names):
        raise NotQuick("onnxruntime's Python module is missing")
    found = [name for name in names if name.startswith(_LIBRARY) and not name[len(_LIBRARY) :].strip("0123456789.")]
    if len(found) != 1:
        raise NotQuick(f"onnxruntime has {len(found)} files {_LIBRARY}*, not one")
    return os.path.join(capi, found[0])
