// See failure.h.
#include "failure.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void die(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fprintf(stderr, "ampload: ");
  vfprintf(stderr, format, arguments);
  fprintf(stderr, "\n");
  va_end(arguments);
  exit(1);
}

void *allocate(unsigned long bytes) {
  void *memory = malloc(bytes);
  if (memory == NULL) die("out of memory (%lu bytes)", bytes);
  return memory;
}

void *allocate_zeroed(unsigned long count, unsigned long bytes) {
  void *memory = calloc(count, bytes);
  if (memory == NULL) die("out of memory (%lu x %lu bytes)", count, bytes);
  return memory;
}
