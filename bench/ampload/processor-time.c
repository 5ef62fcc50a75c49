// See processor-time.h.
#include "processor-time.h"

#include "options.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define PROCESSES_MAX 256
static int processes[PROCESSES_MAX];
static int process_count;

// Reads /proc/PID/stat. Returns the parent's pid and adds the CPU time to *cpu_seconds if that is
// not NULL; -1 when the process is gone.
static int read_stat(int pid, double *cpu_seconds) {
  char path[64], text[2048];
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  FILE *file = fopen(path, "r");
  if (file == NULL) return -1;
  size_t length = fread(text, 1, sizeof text - 1, file);
  fclose(file);
  text[length] = '\0';
  // The second field is the command in parentheses, which may itself contain some.
  const char *after_command = strrchr(text, ')');
  if (after_command == NULL) return -1;
  char state;
  int parent;
  unsigned long user_ticks, system_ticks;
  if (sscanf(after_command + 2, "%c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &state,
          &parent, &user_ticks, &system_ticks) != 4)
    return -1;
  if (cpu_seconds != NULL)
    *cpu_seconds += (double)(user_ticks + system_ticks) / (double)sysconf(_SC_CLK_TCK);
  return parent;
}

static bool is_known(int pid) {
  for (int i = 0; i < process_count; i++)
    if (processes[i] == pid) return true;
  return false;
}

// Adds the children of known processes; true when there were new ones.
static bool add_children(void) {
  DIR *directory = opendir("/proc");
  if (directory == NULL) return false;
  bool grew = false;
  for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
    int pid = atoi(entry->d_name);
    if (pid <= 0 || is_known(pid) || process_count == PROCESSES_MAX) continue;
    if (!is_known(read_stat(pid, NULL))) continue;
    processes[process_count++] = pid;
    grew = true;
  }
  closedir(directory);
  return grew;
}

void find_broker_processes(void) {
  process_count = 0;
  if (options.pid == 0) return;
  processes[process_count++] = options.pid;
  while (add_children()) {
  }
}

double broker_cpu_seconds(void) {
  double seconds = 0;
  for (int i = 0; i < process_count; i++)
    read_stat(processes[i], &seconds);
  return seconds;
}

double broker_resident_mib(void) {
  double mib = 0;
  for (int i = 0; i < process_count; i++) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/statm", processes[i]);
    FILE *file = fopen(path, "r");
    if (file == NULL) continue;
    long total_pages, resident_pages;
    if (fscanf(file, "%ld %ld", &total_pages, &resident_pages) == 2)
      mib += (double)resident_pages * (double)sysconf(_SC_PAGESIZE) / 1048576;
    fclose(file);
  }
  return mib;
}

static double seconds_of(struct timeval time) {
  return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

double own_cpu_seconds(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
}

double machine_cpu_seconds(double *stolen_seconds) {
  enum { USER, NICE, SYSTEM, IDLE, WAITING, INTERRUPT, SOFT_INTERRUPT, STOLEN, FIELDS };
  unsigned long long ticks[FIELDS] = {0};
  FILE *file = fopen("/proc/stat", "r");
  if (file != NULL) {
    if (fscanf(file, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &ticks[USER], &ticks[NICE],
            &ticks[SYSTEM], &ticks[IDLE], &ticks[WAITING], &ticks[INTERRUPT],
            &ticks[SOFT_INTERRUPT], &ticks[STOLEN]) != FIELDS)
      memset(ticks, 0, sizeof ticks);
    fclose(file);
  }
  double ticks_a_second = (double)sysconf(_SC_CLK_TCK);
  *stolen_seconds = (double)ticks[STOLEN] / ticks_a_second;
  unsigned long long busy = ticks[USER] + ticks[NICE] + ticks[SYSTEM];
  return (double)(busy + ticks[INTERRUPT] + ticks[SOFT_INTERRUPT]) / ticks_a_second;
}
