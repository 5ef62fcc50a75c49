// --idle N: opens N connections with one channel each, holds them for --time seconds, drops them,
// and prints what each cost the broker.
#pragma once

void run_idle(void);
