// How the generator gives up. A measurement that went wrong has no result, so every failure ends
// the process with one line on stderr, which the bench runner shows.
#pragma once

// Prints "ampload: ..." and exits with 1.
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));

// malloc and calloc that die instead of returning NULL.
void *allocate(unsigned long bytes);
void *allocate_zeroed(unsigned long count, unsigned long bytes);
