/* Stands in for libnvidia-ml.so.1: one whole GPU, and one that is split into two instances. STUB_NVML=down has no
 * driver, STUB_NVML=empty no GPU; STUB_NVML_DRIVER is the driver's version. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct { const char *uuid, *name; uint64_t total, used; int split, instance; } Device;
static Device whole = {"GPU-whole", "NVIDIA Stub 80GB", 80ull << 30, 5ull << 30, 0, 0};
static Device split = {"GPU-split", "NVIDIA Stub 40GB", 40ull << 30, 7ull << 30, 1, 0};
static Device instances[] = {
  {"MIG-first", "NVIDIA Stub MIG 1g.10gb", 10ull << 30, 1ull << 30, 0, 1},
  {"MIG-second", "NVIDIA Stub MIG 2g.20gb", 20ull << 30, 3ull << 30, 0, 1},
};

static int copy(char *to, unsigned length, const char *text) {
  if (strlen(text) + 1 > length) return 7;
  strcpy(to, text);
  return 0;
}

int nvmlInit_v2(void) {
  const char *mode = getenv("STUB_NVML");
  return mode && strcmp(mode, "down") == 0 ? 9 : 0;
}
int nvmlShutdown(void) { return 0; }
int nvmlSystemGetDriverVersion(char *to, unsigned length) {
  const char *version = getenv("STUB_NVML_DRIVER");
  return copy(to, length, version ? version : "999.01");
}
int nvmlDeviceGetCount_v2(unsigned *count) {
  const char *mode = getenv("STUB_NVML");
  if (mode && strcmp(mode, "slow") == 0) sleep(2);
  *count = mode && strcmp(mode, "empty") == 0 ? 0 : 2;
  return 0;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) {
  *device = index == 0 ? &whole : &split;
  return 0;
}
int nvmlDeviceGetName(void *device, char *to, unsigned length) { return copy(to, length, ((Device *)device)->name); }
int nvmlDeviceGetUUID(void *device, char *to, unsigned length) { return copy(to, length, ((Device *)device)->uuid); }
int nvmlDeviceGetMemoryInfo(void *device, uint64_t *memory) {
  Device *d = device;
  memory[0] = d->total;
  memory[1] = d->total - d->used;
  memory[2] = d->used;
  return 0;
}
int nvmlDeviceGetUtilizationRates(void *device, unsigned *rates) {
  if (((Device *)device)->instance) return 3;
  rates[0] = 42;
  rates[1] = 17;
  return 0;
}
int nvmlDeviceGetMigMode(void *device, unsigned *current, unsigned *pending) {
  *current = *pending = ((Device *)device)->split;
  return 0;
}
int nvmlDeviceGetMaxMigDeviceCount(void *device, unsigned *count) {
  *count = ((Device *)device)->split ? 3 : 0;
  return 0;
}
int nvmlDeviceGetMigDeviceHandleByIndex(void *device, unsigned index, void **instance) {
  if (index > 1) return 6;
  *instance = &instances[index];
  return 0;
}
