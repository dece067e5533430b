// A module for Python that crashes.
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "canaries.h"

NEVER_INLINE static long scale(volatile int* p) {
  CRASH(p);
  return *p + 1;
}

static PyObject* extension_scale(PyObject* self, PyObject* args) {
  (void)self;
  (void)args;
  PUT_CANARIES;
  return PyLong_FromLong(scale(0) + canary_on_stack[1]);
}

static PyMethodDef methods[] = {{"scale", extension_scale, METH_VARARGS, ""},
                                {NULL, NULL, 0, NULL}};
static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "extension", "", -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_extension(void) { return PyModule_Create(&module); }
