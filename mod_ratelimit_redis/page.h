/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RATELIMIT_PAGE_H
#define RATELIMIT_PAGE_H

#include "sink.h"
#include "view.h"

/* The status page in HTML. It needs no script and nothing from elsewhere; its one style sheet is
 * allowed by |nonce|, which the Content-Security-Policy names. |refresh_s| is after how many
 * seconds it loads itself anew; 0: not. */
void ratelimit_put_page(const ratelimit_sink *sink, const ratelimit_view *view, const char *nonce,
                        unsigned refresh_s);

/* Its style sheet. */
extern const char ratelimit_page_style[];

#endif
