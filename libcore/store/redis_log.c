/* SPDX-License-Identifier: Apache-2.0 */
#include "store/redis_log.h"

#include "algorithm/log.h"
#include "base/error.h"
#include "store/redis_codec_inside.h"

/* --- the argument -------------------------------------------------------------------------- */

static unsigned char *put_cost(unsigned char *at, const rlc__item *item, int asks) {
  return put_double(at, asks ? -(double)item->cost : (double)item->cost);
}

unsigned char *rlc__codec_put_one_log(unsigned char *at, const rlc__item *item, int asks) {
  at = put_cost(at, item, asks);
  at = put(at, item->policy->rate[0].capacity);
  return put(at, item->policy->rate[0].window_us);
}

unsigned char *rlc__codec_put_log(unsigned char *at, const rlc__item *item, int asks,
                                  int64_t charged_us) {
  at = put_cost(at, item, asks);
  at = put(at, charged_us > 0 ? (uint64_t)charged_us : 0);
  for (unsigned i = 0; i < item->policy->rates; ++i) {
    const rlc__rate *rate = &item->policy->rate[i];

    at = put(at, rate->capacity);
    at = put(at, rlc__log_most(rate));
    at = put(at, rate->window_us);
  }
  return at;
}

/* --- the reply ----------------------------------------------------------------------------- */

/* Reads how many count in |rate|'s window, and two waits. Returns 0 for anything else. */
static int get_view(redisReply *const *element, const rlc__rate *rate, rlc__log_view *view) {
  int64_t used = 0;

  if (!get(element[0], 0, RLC_MAX_QUOTA, &used) ||
      !get(element[1], 0, (int64_t)rate->window_us, &view->retry_us) ||
      !get(element[2], 0, (int64_t)rate->window_us, &view->reset_us)) {
    return 0;
  }
  view->used = (uint64_t)used;
  return 1;
}

static void tell(rlc__item *item, const rlc__log_view *view, uint64_t cost, int allowed) {
  item->result.source = RLC_SOURCE_STORE;
  rlc__log_tell(item->policy, view, cost, allowed, &item->result);
}

int rlc__codec_get_one_log(rlc__call *call, const redisReply *reply) {
  rlc__item *item = &call->items[0];
  const rlc__rate *rate = &item->policy->rate[0];
  int charges = call->op == RLC__OP_CHECK && item->cost > 0;
  rlc__log_view view = {0, 0, 0};
  int64_t used = 0;
  int allowed;

  if (get(reply, 1, (int64_t)rate->capacity, &used)) {
    /* The last unit is a new one. */
    view = (rlc__log_view){(uint64_t)used, 0, (int64_t)rate->window_us};
    if (!charges || (uint64_t)used < item->cost) {
      return RLC__ERR_PROTOCOL;
    }
    allowed = 1;
  } else {
    if (!is_array(reply, 3) || !get_view(reply->element, rate, &view)) {
      return RLC__ERR_PROTOCOL;
    }
    allowed = rlc__log_fits(item->policy, &view, item->cost);
    if (charges && allowed) {
      return RLC__ERR_PROTOCOL; /* what fits is charged */
    }
  }
  item->result.charged = charges && allowed ? item->cost : 0;
  tell(item, &view, item->cost, allowed);
  return 0;
}

int rlc__codec_get_log(const rlc__call *call, rlc__item *item, const redisReply *reply, size_t *at,
                       int verdict, uint64_t cost, int64_t now_us) {
  const rlc_policy *policy = item->policy;
  int charges = call->op == RLC__OP_CHECK || call->op == RLC__OP_GRANT;
  rlc__log_view view[RLC_MAX_RATES];
  int64_t added = 0;
  int allowed = 1;

  if (reply->elements - *at < 1 + 3 * (size_t)policy->rates ||
      !get(reply->element[*at], 0, RLC_MAX_QUOTA, &added) || (uint64_t)added > item->cost) {
    return RLC__ERR_PROTOCOL;
  }
  ++*at;
  for (unsigned i = 0; i < policy->rates; ++i, *at += 3) {
    if (!get_view(&reply->element[*at], &policy->rate[i], &view[i])) {
      return RLC__ERR_PROTOCOL;
    }
  }
  if (call->op == RLC__OP_RENEW) {
    allowed = added > 0;
  } else if (call->op == RLC__OP_PEEK || (charges && !verdict)) {
    allowed = rlc__log_fits(policy, view, cost);
  }
  if (charges && (uint64_t)added != (verdict ? cost : 0)) {
    return RLC__ERR_PROTOCOL;
  }
  item->result.charged = call->op == RLC__OP_RENEW ? 0 : (uint64_t)added;
  if (call->op == RLC__OP_RENEW || call->receipts) {
    item->charged_us = added > 0 ? now_us : 0;
  }
  tell(item, view, cost, allowed);
  return 0;
}

void rlc__codec_undo_log(rlc__item *item, const redisReply *reply, size_t *at, uint64_t goes,
                         uint64_t cost, int stays) {
  rlc__log_view view[RLC_MAX_RATES];

  ++*at;
  for (unsigned i = 0; i < item->policy->rates; ++i, *at += 3) { /* it has been decoded once */
    (void)get_view(&reply->element[*at], &item->policy->rate[i], &view[i]);
    view[i].used -= goes < view[i].used ? goes : view[i].used;
    if (!stays && goes > 0) {
      view[i].reset_us = view[i].retry_us; /* as several.lua has it */
    }
    view[i].retry_us = 0;
  }
  tell(item, view, cost, 1);
}
