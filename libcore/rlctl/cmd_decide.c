/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>

#include "rlctl/rlctl.h"

/* What the verbs of a limiter say. */
typedef struct verb {
  rlc_op op;
  const char *allowed;
  const char *denied;
  int makes; /* a table in shared memory that is not there */
} verb;

/* --- for people ---------------------------------------------------------------------------- */

/* Whether |result| tells of the limit's own policy, as far as that can be seen: the index may have another
 * for the key. A window of the calendar may be shorter than the longest of its kind. */
static int is_own(const rlc_limit *limit, const rlc_result *result) {
  uint64_t window_us, capacity;

  return rlc_policy_get_rate(limit->policy, result->rate_index, NULL, &window_us, &capacity) == 0 &&
         capacity == result->limit &&
         (window_us == result->window_us ||
          (rlc_policy_get_algorithm(limit->policy) == RLC_FIXED_WINDOW &&
           result->window_us <= window_us + window_us / 8 &&
           result->window_us >= window_us - window_us / 8));
}

static void put_rate(const rlc_limit *limit, const rlc_result *result) {
  const char *text;

  if (is_own(limit, result)) {
    int len = rlctl_rate_text(limit->policy, result->rate_index, &text);

    printf("\"%.*s\"", len, text);
  } else {
    fputs("an override or tier", stdout);
  }
}

/* "0 of 10 left", and where there is anything to wait for until when. |names|: by which rate. */
static void put_left(const verb *v, const rlc_limit *limit, const rlc_result *result, int names) {
  printf("%" PRIu64 " of %" PRIu64 " left", result->remaining, result->limit);
  if (names) {
    fputs(" by ", stdout);
    put_rate(limit, result);
  }
  if (!result->allowed && limit->cost != 1 && v->op != RLC_OP_GRANT) {
    printf(", the cost is %" PRIu64, limit->cost);
  }
  if (!result->allowed && result->retry_us >= 0) {
    fputs("; try again in ", stdout);
    rlctl_put_duration(stdout, result->retry_us);
  } else if (result->allowed && result->reset_us > 0) {
    fputs(", full again in ", stdout);
    rlctl_put_duration(stdout, result->reset_us);
  }
}

static void put_never(const rlc_limit *limit, const rlc_result *result) {
  printf("never: the cost %" PRIu64 " is above the capacity %" PRIu64, limit->cost, result->limit);
}

static void put_ban(const rlc_result *result) {
  fputs("banned; try again in ", stdout);
  rlctl_put_duration(stdout, result->retry_us);
  putchar('\n');
}

/* The one limit there is: "denied by "10/s": 0 of 10 left; try again in 0.35 s". */
static void put_one(const verb *v, const rlc_limit *limit, const rlc_result *result) {
  if (result->retry_us == RLC_NEVER) {
    put_never(limit, result);
    if (rlc_policy_get_rates(limit->policy) > 1) {
      fputs(" of ", stdout);
      put_rate(limit, result);
    }
    putchar('\n');
    return;
  }
  fputs(result->allowed ? v->allowed : v->denied, stdout);
  if (result->source == RLC_SOURCE_BAN) {
    fputs(": ", stdout);
    put_ban(result);
    return;
  }
  if (v->op == RLC_OP_GRANT ? result->allowed
                            : v->op == RLC_OP_CHARGE && result->charged < limit->cost) {
    printf(" %" PRIu64 " of %" PRIu64, result->charged, limit->cost);
  }
  if (!result->allowed) {
    fputs(" by ", stdout);
    put_rate(limit, result);
  }
  fputs(": ", stdout);
  put_left(v, limit, result, result->allowed && rlc_policy_get_rates(limit->policy) > 1);
  putchar('\n');
}

/* One of several: '  "10/s" of alice: 0 of 10 left; try again in 0.35 s'. */
static void put_each(const verb *v, const rlc_limit *limit, const rlc_result *result) {
  fputs("  ", stdout);
  put_rate(limit, result);
  fputs(" of ", stdout);
  rlctl_put_bytes(stdout, limit->key, limit->key_len, 60);
  fputs(": ", stdout);
  if (result->source == RLC_SOURCE_BAN) {
    put_ban(result);
    return;
  }
  if (result->retry_us == RLC_NEVER) {
    put_never(limit, result);
  } else {
    put_left(v, limit, result, 0);
  }
  putchar('\n');
}

static void put_text(const verb *v, const rlctl_limits *limits, const rlc_result *results,
                     const rlc_decision *decision) {
  if (v->op == RLC_OP_RESET) {
    printf("%s: the full capacity is there again\n", v->allowed);
  } else if (limits->n == 1) {
    put_one(v, &limits->limit[0], &results[0]);
  } else {
    fputs(decision->allowed ? v->allowed : v->denied, stdout);
    if (v->op == RLC_OP_GRANT && decision->allowed) {
      printf(" %" PRIu64, decision->result.charged);
    }
    putchar('\n');
    for (size_t i = 0; i < limits->n; ++i) {
      put_each(v, &limits->limit[i], &results[i]);
    }
  }
}

/* --- for programs -------------------------------------------------------------------------- */

static void put_wait(const char *name, int64_t us) {
  if (us == RLC_NEVER) {
    printf(", \"%s\": null", name);
  } else {
    printf(", \"%s\": %" PRId64, name, us);
  }
}

static void put_json_result(const rlc_limit *limit, const rlc_result *result) {
  const char *text;

  printf(", \"cost\": %" PRIu64 ", \"allowed\": %s, \"rate\": ", limit->cost,
         result->allowed ? "true" : "false");
  if (is_own(limit, result)) {
    int len = rlctl_rate_text(limit->policy, result->rate_index, &text);

    printf("\"%.*s\"", len, text);
  } else {
    fputs("null", stdout);
  }
  printf(", \"limit\": %" PRIu64 ", \"remaining\": %" PRIu64 ", \"window_us\": %" PRIu64,
         result->limit, result->remaining, result->window_us);
  put_wait("retry_us", result->retry_us);
  put_wait("reset_us", result->reset_us);
  printf(", \"charged\": %" PRIu64, result->charged);
  if (result->source == RLC_SOURCE_BAN) {
    fputs(", \"banned\": true", stdout);
  }
}

static void put_json(const verb *v, const rlctl_limits *limits, const rlc_result *results,
                     const rlc_decision *decision) {
  putchar('{');
  if (v->op != RLC_OP_RESET) {
    printf("\"allowed\": %s, \"index\": %u, ", decision->allowed ? "true" : "false",
           decision->index);
  }
  fputs("\"limits\": [", stdout);
  for (size_t i = 0; i < limits->n; ++i) {
    const rlc_limit *limit = &limits->limit[i];
    char name[RLC_MAX_NAME + 1];

    rlctl_policy_name(limit->policy, name);
    fputs(i > 0 ? ", {\"policy\": " : "{\"policy\": ", stdout);
    rlctl_put_json(stdout, rlc_policy_get_text(limit->policy));
    fputs(", \"name\": ", stdout);
    rlctl_put_json(stdout, limit->name != NULL ? limit->name : name);
    fputs(", \"key\": ", stdout);
    rlctl_put_json_bytes(stdout, limit->key, limit->key_len);
    if (limit->group_len > 0) {
      fputs(", \"group\": ", stdout);
      rlctl_put_json_bytes(stdout, limit->group, limit->group_len);
    }
    if (v->op != RLC_OP_RESET) {
      put_json_result(limit, &results[i]);
    }
    putchar('}');
  }
  puts("]}");
}

/* --- the verbs ----------------------------------------------------------------------------- */

static rlctl_exit decide(const rlctl_call *call, const verb *v) {
  rlc_result results[RLC_MAX_LIMITS];
  rlc_decision decision = RLC_DECISION_INIT;
  rlctl_store *store = NULL;
  rlctl_limits limits;
  rlctl_exit status = rlctl_limits_read(&limits, call);

  for (size_t i = 0; i < RLC_MAX_LIMITS; ++i) {
    results[i] = (rlc_result)RLC_RESULT_INIT;
  }
  for (size_t i = 0; status == RLCTL_DONE && v->op == RLC_OP_GRANT && i < limits.n; ++i) {
    if (limits.limit[i].cost == 0) {
      status = rlctl_say(RLCTL_USAGE, "grant expects a cost of at least 1; \"peek\" asks what is there");
    }
  }
  if (status == RLCTL_DONE) {
    status = rlctl_store_new(&store, call, v->makes);
  }
  if (status == RLCTL_DONE) {
    status = rlctl_store_ask(store, v->op, limits.limit, limits.n, results, &decision);
  }
  if (status == RLCTL_DONE) {
    (call->json ? put_json : put_text)(v, &limits, results, &decision);
    status = v->op == RLC_OP_RESET || decision.allowed ? RLCTL_DONE : RLCTL_DENIED;
  }
  rlctl_store_del(store);
  rlctl_limits_clear(&limits);
  return status;
}

rlctl_exit rlctl_check(const rlctl_call *call) {
  return decide(call, &(verb){RLC_OP_CHECK, "allowed", "denied", 1});
}

rlctl_exit rlctl_peek(const rlctl_call *call) {
  return decide(call, &(verb){RLC_OP_PEEK, "would be allowed", "would be denied", 0});
}

rlctl_exit rlctl_charge(const rlctl_call *call) {
  return decide(call, &(verb){RLC_OP_CHARGE, "charged", "denied", 1});
}

rlctl_exit rlctl_refund(const rlctl_call *call) {
  return decide(call, &(verb){RLC_OP_REFUND, "given back", "denied", 0});
}

rlctl_exit rlctl_grant(const rlctl_call *call) {
  return decide(call, &(verb){RLC_OP_GRANT, "granted", "denied", 1});
}

rlctl_exit rlctl_reset(const rlctl_call *call) {
  return decide(call, &(verb){RLC_OP_RESET, "reset", "denied", 0});
}
