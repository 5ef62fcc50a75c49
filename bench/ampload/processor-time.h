// CPU time and memory of the broker (its process and all descendants), of this process and of the
// machine, from /proc. Rates drift with what else the machine does; processor time a message hardly
// does, so it is the figure to compare. Without --pid, or on a system without a Linux /proc, the
// broker's figures are 0.
#pragma once

// Looks for the broker's processes once, before the run.
void find_broker_processes(void);

double broker_cpu_seconds(void);
double broker_resident_mib(void);
double own_cpu_seconds(void);

// The time all processors were busy with anything; *stolen_seconds is what the hypervisor took.
double machine_cpu_seconds(double *stolen_seconds);
