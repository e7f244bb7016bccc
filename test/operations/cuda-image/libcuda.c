/* Stands in for libcuda.so.1: a driver of the CUDA version STUB_CUDA_VERSION (13000 is 13.0), on a machine without a GPU. */
#include <stdlib.h>
#include <string.h>

static int noDevice(void) { return 100; }
int cuInit(unsigned flags) { return noDevice(); }
/* The one that onnxruntime's provider links; all others are asked for by name. */
int cuTensorMapEncodeTiled(void) { return noDevice(); }
int cuDriverGetVersion(int *version) {
  const char *told = getenv("STUB_CUDA_VERSION");
  *version = told ? atoi(told) : 13000;
  return 0;
}
int cuGetProcAddress_v2(const char *name, void **function, int version, unsigned long flags, int *found) {
  *function = strcmp(name, "cuDriverGetVersion") == 0 ? (void *)cuDriverGetVersion
            : strcmp(name, "cuGetProcAddress") == 0   ? (void *)cuGetProcAddress_v2
                                                      : (void *)noDevice;
  if (found) *found = 0;
  return 0;
}
