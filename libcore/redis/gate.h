/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_GATE_H
#define RLCORE_GATE_H

/*
 * OpenSSL takes itself down when exit() runs, while other threads may be in the middle of TLS: the
 * helper that connects, and whoever is deciding. What they call it for stands between enter and leave;
 * exit() closes the gate first, and waits until nobody is inside. A forked child has a gate of its
 * own, open and empty.
 */

/* Makes the gate, once; OpenSSL must have been used by now, so that it is taken down after the gate
 * closes. Returns 0, or -1 without memory for it. Who has kept it drops it when his TLS is gone, and
 * asks nothing of it afterwards. */
int rlc__gate_keep(void);
void rlc__gate_drop(void);
/* Returns 0: call rlc__gate_leave soon, without waiting for anybody meanwhile. Or -1, once the process
 * ends. */
int rlc__gate_enter(void);
void rlc__gate_leave(void);
/* Whether the process ends. What fails now is nobody's fault. */
int rlc__gate_is_closed(void);

#endif
