/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RLCORE_ENGINE_H
#define RLCORE_ENGINE_H

#include "redis/client.h"
#include "redis/node.h"

/*
 * What a client has in one process: the servers it knows, and the helper thread, which alone looks
 * names up, connects, logs in, asks sentinels and clusters who is master, and probes. The thread is
 * started by the first who needs it, with all signals blocked.
 */
typedef struct rlc__engine rlc__engine;

/* Counts and marks of all processes, in memory that they share. */
typedef struct rlc__shared {
  _Atomic uint64_t connects;
  _Atomic uint64_t lost;
  _Atomic uint64_t resent;
  _Atomic uint64_t late;
  _Atomic int advised; /* a server's settings were looked at */
} rlc__shared;

/* |config|, |shared| and |log| live longer. Returns 0, RLC_ERR_NOMEM or RLC_ERR_SYSTEM. */
int rlc__engine_new(rlc__engine **out, const rlc__client_config *config, rlc__shared *shared,
                    const rlc__log *log);
/* Ends the helper thread, which may be in the middle of connecting: at most a second later. */
void rlc__engine_del(rlc__engine *engine);
/* What a forked child does with its parent's: closes the descriptors, touches nothing else. */
void rlc__engine_forget(rlc__engine *engine);

/* Returns the master of |slot| (without a cluster: of all), or NULL while that is not known. */
rlc__node *rlc__engine_node(rlc__engine *engine, unsigned slot);
/* Returns the node at |endpoint| of a cluster, new if need be; NULL when there are too many, or
 * where there is no cluster. With |owns| it is the master of |slot| from now on. */
rlc__node *rlc__engine_redirect(rlc__engine *engine, unsigned slot, const rlc__endpoint *endpoint,
                                int owns);

/* Wants a connection to |node| (NULL: to whoever is found out to be master): another lane, where it
 * has some. Never waits. */
void rlc__engine_want(rlc__engine *engine, rlc__node *node);
/* Tells that decisions are being made: who is master is watched meanwhile. */
void rlc__engine_touch(rlc__engine *engine, int64_t now_us);
/* Wants to know anew who is master. |node| is not, it said; with |serves| somebody else certainly
 * is, and that can wait a moment. */
void rlc__engine_doubt(rlc__engine *engine, rlc__node *node, int serves);
/* Whether |node| is one of several of a cluster, and there are others in good health. */
int rlc__engine_has_others(rlc__engine *engine, const rlc__node *node);
/* Sleeps until something has changed since |seen|, or |deadline_us|. */
uint32_t rlc__engine_changes(const rlc__engine *engine);
void rlc__engine_wait(rlc__engine *engine, uint32_t seen, int64_t deadline_us);
/* Calls |waiter| at each change, until it is taken off. Adding it again changes nothing. Returns 0 or
 * RLC_ERR_NOMEM. */
int rlc__engine_watch(rlc__engine *engine, rlc__waiter *waiter);
void rlc__engine_unwatch(rlc__engine *engine, const rlc__waiter *waiter);
/* Returns 0, or where it is known that nobody can be told who is master of |slot| what that failed
 * by, an rlc__error; why. */
int rlc__engine_is_lost(rlc__engine *engine, unsigned slot, char why[RLC_MESSAGE_SIZE]);
/* See rlc__client_news. */
uint32_t rlc__engine_news(const rlc__engine *engine);
/* See rlc__client_probe. */
int rlc__engine_probe(rlc__engine *engine);

#endif
