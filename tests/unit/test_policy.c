/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs those four first */
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "failing_memory.h"
#include "policy/policy.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define US UINT64_C(1000000)

__extension__ typedef unsigned __int128 uint128;

static rlc_policy *policy_of(const char *text) {
  rlc_policy *policy;
  char why[RLC_MESSAGE_SIZE] = "";

  if (rlc_policy_new(&policy, NULL, text, NULL, why, sizeof why) != 0) {
    fail_msg("%s: %s", text, why);
  }
  return policy;
}

/* What texts mean the same, and the text that stands for all of them. */
static void test_canonical(void **state) {
  static const char *const cases[][2] = {
      {"100/min", "100/min"},
      {" \t100/min \t", "100/min"},
      {"100/60s", "100/min"},
      {"100/1min", "100/min"},
      {"100/60seconds", "100/min"},
      {"0100/001minute", "100/min"},
      {"3/15min", "3/15min"},
      {"3/90minutes", "3/90min"},
      {"3/120s", "3/2min"},
      {"10/s", "10/s"},
      {"10/sec", "10/s"},
      {"10/second", "10/s"},
      {"10/61s", "10/61s"},
      {"1/24h", "1/day"},
      {"1/hour", "1/h"},
      {"1/2hours", "1/2h"},
      {"1/7d", "1/week"},
      {"1/14days", "1/2week"},
      {"1/w", "1/week"},
      {"1/2weeks", "1/2week"},
      {"1/3660day", "1/3660day"},
      {"1000000000/30day", "1000000000/30day"},
      {"10/s,1000/h", "10/s,1000/h"},
      {"1000/h,10/s", "1000/h,10/s"},
      {"10/s,1000/h burst=20", "10/s,1000/h burst=20"},
      {"10/s burst=10", "10/s"},
      {"10/s  \t burst=20\talgorithm=token-bucket", "10/s burst=20"},
      {"10/s algorithm=token-bucket", "10/s"},
      {"10/s ban=5/10min:1h", "10/s ban=5/10min:1h"},
      {"10/s debt=5", "10/s debt=5"},
      {"10/s debt=007 burst=20", "10/s burst=20 debt=7"},
      {"1/month ban=3/day:1week debt=2 tz=Europe/Paris algorithm=fixed-window",
       "1/month algorithm=fixed-window debt=2 tz=Europe/Paris ban=3/day:1week"},
      {"1/s debt=999999999 algorithm=sliding-window", "1/s algorithm=sliding-window debt=999999999"},
      {"600/min debt=400 algorithm=sliding-log", "600/min algorithm=sliding-log debt=400"},
      {"10/s ban=05/1minute:day", "10/s ban=5/min:1day"},
      {"10/s ban=5/600s:3600s:16hours", "10/s ban=5/10min:1h"},
      {"10/s ban=5/10min:1h:1h", "10/s ban=5/10min:1h:1h"},
      {"10/s ban=1/3660d:300day", "10/s ban=1/3660day:300day"},
      {"10/s ban=1/s:300day:3660day", "10/s ban=1/s:300day"},
      {"9/h ban=1000000000/s:1s burst=20", "9/h burst=20 ban=1000000000/s:1s"},
      {"1/month ban=3/day:1week algorithm=fixed-window",
       "1/month algorithm=fixed-window ban=3/day:1week"},
      {"10/60s,100/60min  algorithm=sliding-log", "10/min,100/h algorithm=sliding-log"},
      {"1000/30s algorithm=concurrency", "1000/30s algorithm=concurrency"},
      {"10/s algorithm=fixed-window", "10/s algorithm=fixed-window"},
      {"999999937/day algorithm=fixed-window", "999999937/day algorithm=fixed-window"},
      {"1000000000/s algorithm=sliding-window", "1000000000/s algorithm=sliding-window"},
      {"1/month algorithm=fixed-window", "1/month algorithm=fixed-window"},
      {"1/1months algorithm=fixed-window align=calendar", "1/month algorithm=fixed-window"},
      {"1/12months tz=UTC algorithm=fixed-window", "1/year algorithm=fixed-window"},
      {"1/3month anchor=01 tz=Etc/UTC algorithm=fixed-window", "1/3month algorithm=fixed-window"},
      {"1/month tz=Etc/GMT algorithm=fixed-window", "1/month algorithm=fixed-window"},
      {"1/year anchor=1-1 algorithm=fixed-window", "1/year algorithm=fixed-window"},
      {"1/year anchor=4-6 algorithm=fixed-window", "1/year algorithm=fixed-window anchor=04-06"},
      {"1/year,9/month anchor=31 algorithm=fixed-window",
       "1/year,9/month algorithm=fixed-window anchor=31"},
      {"1/month anchor=31 tz=Europe/Paris algorithm=fixed-window",
       "1/month algorithm=fixed-window tz=Europe/Paris anchor=31"},
      {"1/day align=calendar algorithm=fixed-window", "1/day algorithm=fixed-window"},
      {"1/24h align=calendar tz=Asia/Kolkata algorithm=fixed-window",
       "1/day algorithm=fixed-window align=calendar tz=Asia/Kolkata"},
      {"1/week align=calendar algorithm=fixed-window",
       "1/week algorithm=fixed-window align=calendar"},
      {"1/week align=calendar anchor=thu algorithm=fixed-window", "1/week algorithm=fixed-window"},
      {"1/7day tz=Asia/Kolkata align=calendar anchor=sun algorithm=fixed-window",
       "1/week algorithm=fixed-window align=calendar tz=Asia/Kolkata anchor=sun"},
      {"9/min,1/day,1/month align=calendar algorithm=fixed-window tz=Europe/Paris",
       "9/min,1/day,1/month algorithm=fixed-window align=calendar tz=Europe/Paris"},
      {"9/day,1/month algorithm=fixed-window", "9/day,1/month algorithm=fixed-window"},
      {"9/31day,1/month algorithm=fixed-window", "9/31day,1/month algorithm=fixed-window"},
      {"1/s,1/min,1/h,1/day,1/week,1/30day", "1/s,1/min,1/h,1/day,1/week,1/30day"},
  };

  (void)state;
  for (size_t i = 0; i < COUNT(cases); ++i) {
    rlc_policy *policy = policy_of(cases[i][0]);
    rlc_policy *again = policy_of(rlc_policy_get_text(policy));

    assert_string_equal(rlc_policy_get_text(policy), cases[i][1]);
    assert_string_equal(rlc_policy_get_text(again), cases[i][1]);
    assert_string_equal(policy->id, again->id);
    for (unsigned r = 0; r < RLC_MAX_RATES; ++r) { /* each loads its own zone */
      assert_true((policy->rate[r].calendar.zone == NULL) == (again->rate[r].calendar.zone == NULL));
      policy->rate[r].calendar.zone = again->rate[r].calendar.zone = NULL;
    }
    assert_memory_equal(policy->rate, again->rate, sizeof policy->rate);
    rlc_policy_del(policy);
    rlc_policy_del(again);
  }
}

/* The longest policy there is fits its canonical text. */
static void test_longest(void **state) {
  const char *text = "1000000000/316223971s,1000000000/316223973s,1000000000/316223977s,"
                     "1000000000/316223979s,1000000000/316223981s,1000000000/316223983s "
                     "algorithm=sliding-window";
  rlc_policy *policy = policy_of(text);

  (void)state;
  assert_string_equal(rlc_policy_get_text(policy), text);
  rlc_policy_del(policy);
  text = "1000000000/316223971s,1000000000/316223973s,1000000000/316223977s,"
         "1000000000/316223979s,1000000000/316223981s,1000000000/year algorithm=fixed-window "
         "tz=America/Argentina/ComodRivadavia anchor=12-31";
  policy = policy_of(text);
  assert_string_equal(rlc_policy_get_text(policy), text);
  rlc_policy_del(policy);
}

/* Every text that is no policy, the column at fault, and the key words of the sentence. */
static void test_errors(void **state) {
  static const struct {
    const char *text;
    const char *column;
    const char *words;
  } cases[] = {
      {"", "column 1: ", "expected a policy such as \"100/min\", found nothing"},
      {"  \t", "column 1: ", "expected a policy"},
      {"api", "column 1: ", "expected a quota such as \"100\", found \"api\""},
      {"-5/min", "column 1: ", "found \"-5/min\""},
      {"+5/min", "column 1: ", "expected a quota"},
      {"/min", "column 1: ", "expected a quota"},
      {"0/min", "column 1: ", "a quota from 1 to 1000000000, found \"0\""},
      {"1000000001/min", "column 1: ", "a quota from 1 to 1000000000"},
      {"99999999999999999999999999/min", "column 1: ", "a quota from 1 to 1000000000"},
      {"100", "column 4: ",
       "expected \"/\" and a window such as \"min\" after \"100\", found nothing"},
      {"100 / min", "column 4: ", "found a space"},
      {"1.5/min", "column 2: ", "found \".5/min\""},
      {"1k/min", "column 2: ", "found \"k/min\""},
      {"100/", "column 5: ", "or \"day\" after \"100/\", found nothing"},
      {"100/ min", "column 5: ", "found a space"},
      {"100/mni", "column 5: ",
       "expected a window such as \"min\", \"15min\" or \"day\" after \"100/\", found \"mni\" - "
       "did you mean \"min\"?"},
      {"3/15mni", "column 3: ", "found \"15mni\" - did you mean \"15min\"?"},
      {"100/MIN", "column 5: ", "did you mean \"min\"?"},
      {"100/secs", "column 5: ", "did you mean \"sec\"?"},
      {"100/fortnight", "column 5: ", "found \"fortnight\""},
      {"100/min;burst=2", "column 5: ", "found \"min;burst=2\""},
      {"100/60", "column 7: ", "expected a unit (s, min, h, day, week, month, year) after "
                               "\"100/60\", as in \"100/60s\", found nothing"},
      {"100/60,1/s", "column 7: ", "expected a unit"},
      {"100/0min", "column 5: ", "at least \"1min\", found \"0min\""},
      {"100/3661day", "column 5: ", "at most \"3660day\", found \"3661day\""},
      {"100/99999999999999999999999999week", "column 5: ", "at most \"3660day\""},
      {"100/m", "column 5: ", "minute or a month; write \"min\""},
      {"100/month", "column 5: ",
       "follow the calendar, which algorithm=token-bucket cannot; write "
       "\"algorithm=fixed-window\""},
      {"1/s,100/3months algorithm=sliding-window", "column 9: ",
       "algorithm=sliding-window cannot"},
      {"1/year", "column 3: ",
       "write \"algorithm=fixed-window\" behind the rates, or \"365day\""},
      {"1/quarter", "column 3: ",
       "write \"3month\""},
      {"1/mnth", "column 3: ",
       "did you mean \"month\"?"},
      {"1/5month algorithm=fixed-window", "column 3: ",
       "months that divide a year"},
      {"1/0month algorithm=fixed-window", "column 3: ",
       "at least \"1month\""},
      {"1/24month algorithm=fixed-window", "column 3: ",
       "\"6month\" or \"year\"; found \"24month\""},
      {"1/2years algorithm=fixed-window", "column 3: ",
       "found \"2years\""},
      {"1/9999999999999999999month algorithm=fixed-window", "column 3: ",
       "divide a year"},
      {"1/year,2/12month algorithm=fixed-window", "column 8: ",
       "has the same window as \"1/year\""},
      {"1/100ms", "column 6: ", "whole seconds"},
      {"1/us", "column 3: ", "whole seconds"},
      {"10/s,", "column 6: ", "a quota after the comma such as \"100\", found nothing"},
      {"10/s, 1000/h", "column 6: ", "found a space"},
      {"10/s,,1000/h", "column 6: ", "a quota after the comma"},
      {"10/s 1000/h", "column 6: ", "joined by a comma alone"},
      {"10/s ,1000/h", "column 6: ", "joined by a comma alone"},
      {"10/s,20/1s", "column 6: ", "\"20/1s\" has the same window as \"10/s\""},
      {"1/s,1/min,1/h,1/day,1/week,1/30day,1/31day", "column 36: ", "at most 6 rates"},
      {"10/s brust=20", "column 6: ", "found \"brust\" - did you mean \"burst=\"?"},
      {"10/s algoritm=x", "column 6: ", "did you mean \"algorithm=\"?"},
      {"10/s colour=red", "column 6: ",
       "expected an option (algorithm=, burst=, align=, tz=, anchor=, ban=, debt=), found \"colour\""},
      {"10/s =5", "column 6: ", "expected an option (algorithm=, burst=, align=, tz=, anchor=, ban=, debt=), found \"=5\""},
      {"10/s burst", "column 11: ", "expected \"=\" and a value after \"burst\", found nothing"},
      {"10/s burst =5", "column 11: ", "expected \"=\" and a value after \"burst\", found a space"},
      {"10/s burst=", "column 12: ", "expected a burst such as \"20\", found nothing"},
      {"10/s burst= 5", "column 12: ", "found a space"},
      {"10/s burst=x", "column 12: ", "found \"x\""},
      {"10/s burst=0", "column 12: ", "a burst from 1 to 1000000000"},
      {"10/s burst=1000000001", "column 12: ", "a burst from 1 to 1000000000"},
      {"10/s burst=20x", "column 14: ", "a space or the end after \"burst=20\", found \"x\""},
      {"10/s burst=20,5/min", "column 14: ", "found \",5/min\""},
      {"10/s burst=20 burst=20", "column 15: ", "\"burst=\" is given twice"},
      {"10/s algorithm=token-bucket algorithm=token-bucket", "column 29: ", "given twice"},
      {"10/s algorithm=", "column 16: ", "after \"algorithm=\", found \"\""},
      {"10/s algorithm=leaky", "column 16: ",
       "expected token-bucket, fixed-window, sliding-window, sliding-log or concurrency"},
      {"10/s algorithm=fixed-windw", "column 16: ", "did you mean \"fixed-window\"?"},
      {"10/s algorithm=sliding-window-log", "column 16: ", "write \"sliding-log\""},
      {"10/s algorithm=semaphore", "column 16: ", "write \"concurrency\""},
      {"10/s algorithm=leaky-bucket", "column 16: ", "write \"token-bucket\""},
      {"10/s algorithm=slidinglog", "column 16: ", "did you mean \"sliding-log\"?"},
      {"1001/h algorithm=sliding-log", "column 1: ",
       "\"1001/h\" would keep a time stamp for each of 1001 units, and 1000 is the most; write "
       "\"algorithm=sliding-window\""},
      {"10/s,1001/h algorithm=sliding-log", "column 6: ", "\"1001/h\" would keep"},
      {"10/s burst=20 algorithm=sliding-log", "column 6: ",
       "\"burst=\" has no meaning with algorithm=sliding-log"},
      {"10/month algorithm=sliding-log", "column 4: ", "which algorithm=sliding-log cannot"},
      {"10/day algorithm=sliding-log tz=UTC", "column 30: ", "\"tz=\" has no meaning"},
      {"1001/h algorithm=concurrency", "column 1: ", "1000 is the most; write a smaller quota"},
      {"20/30s,100/h algorithm=concurrency", "column 8: ",
       "leave \"100/h\" out, or make it a limit of its own"},
      {"20/30s algorithm=concurrency burst=30", "column 30: ",
       "\"burst=\" has no meaning with algorithm=concurrency"},
      {"10/day align=calendar", "column 8: ",
       "\"align=\" has no meaning with algorithm=token-bucket; leave it out, or write"},
      {"10/day tz=UTC algorithm=sliding-window", "column 8: ",
       "\"tz=\" has no meaning with algorithm=sliding-window"},
      {"10/day anchor=mon", "column 8: ",
       "\"anchor=\" has no meaning"},
      {"10/day align=calender algorithm=fixed-window", "column 14: ",
       "expected \"calendar\" after \"align=\", found \"calender\""},
      {"10/day align= algorithm=fixed-window", "column 14: ",
       "found \"\""},
      {"10/h align=calendar algorithm=fixed-window", "column 6: ",
       "\"align=\" is for windows of a day, week, month or year"},
      {"10/h,5/2day align=calendar algorithm=fixed-window", "column 6: ",
       "\"5/2day\" has no place in the calendar"},
      {"10/day tz=Europe/Paris algorithm=fixed-window", "column 8: ",
       "\"tz=\" does not reach \"10/day\", which starts at the epoch, in UTC; write "
       "\"align=calendar\""},
      {"9/month,10/week tz=Europe/Paris algorithm=fixed-window", "column 17: ",
       "\"tz=\" does not reach \"10/week\""},
      {"10/h tz=Europe/Paris algorithm=fixed-window", "column 6: ",
       "\"tz=\" is for windows of a day, week"},
      {"1/month tz=Europe/Pariss algorithm=fixed-window", "column 12: ",
       "no time zone is called \"Europe/Pariss\" - did you mean \"Europe/Paris\"?"},
      {"1/month tz=paris algorithm=fixed-window", "column 12: ",
       "did you mean \"Europe/Paris\"?"},
      {"1/month tz=EUROPE/PARIS algorithm=fixed-window", "column 12: ",
       "did you mean \"Europe/Paris\"?"},
      {"1/month tz=America/Argentina/Buenos_Aires1 algorithm=fixed-window", "column 12: ",
       "did you mean \"America/Argentina/Buenos_Aires\"?"},
      {"1/month tz=Mars/Olympus_Mons algorithm=fixed-window", "column 12: ",
       "write a name such as \"Europe/Paris\" or \"UTC\""},
      {"1/month tz=Europe algorithm=fixed-window", "column 12: ",
       "no time zone is called \"Europe\""},
      {"1/month tz= algorithm=fixed-window", "column 12: ",
       "expected a time zone such as \"Europe/Paris\" or \"UTC\", found \"\""},
      {"1/month tz=../../../etc/passwd algorithm=fixed-window", "column 12: ",
       "expected a time zone"},
      {"1/month tz=/etc/localtime algorithm=fixed-window", "column 12: ",
       "expected a time zone"},
      {"1/month tz=Europe//Paris algorithm=fixed-window", "column 12: ",
       "expected a time zone"},
      {"1/month tz=Europe/Paris/ algorithm=fixed-window", "column 12: ",
       "expected a time zone"},
      {"1/month tz=zone.tab algorithm=fixed-window", "column 12: ",
       "expected a time zone"},
      {"1/month tz=a234567890123456789012345678901234567890x algorithm=fixed-window", "column 12: ",
       "expected a time zone"},
      {"1/month tz=localtime algorithm=fixed-window", "column 12: ",
       "another zone on another machine"},
      {"1/month timezone=UTC algorithm=fixed-window", "column 9: ",
       "write \"tz=\""},
      {"1/month anchor=0 algorithm=fixed-window", "column 16: ",
       "expected a day of the month"},
      {"1/month anchor=32 algorithm=fixed-window", "column 16: ",
       "found \"32\""},
      {"1/month anchor=001 algorithm=fixed-window", "column 16: ",
       "found \"001\""},
      {"1/month anchor= algorithm=fixed-window", "column 16: ",
       "found \"\""},
      {"1/week align=calendar anchor=sunn algorithm=fixed-window", "column 30: ",
       "did you mean \"sun\"?"},
      {"1/year anchor=02-30 algorithm=fixed-window", "column 15: ",
       "no year has a day \"02-30\"; write \"02-29\""},
      {"1/year anchor=13-01 algorithm=fixed-window", "column 15: ",
       "found \"13-01\""},
      {"1/year anchor=00-01 algorithm=fixed-window", "column 15: ",
       "found \"00-01\""},
      {"1/year anchor=01-00 algorithm=fixed-window", "column 15: ",
       "found \"01-00\""},
      {"1/year anchor=04-31 algorithm=fixed-window", "column 15: ",
       "write \"04-30\""},
      {"1/year anchor=04- algorithm=fixed-window", "column 15: ",
       "found \"04-\""},
      {"1/year anchor=15 algorithm=fixed-window", "column 8: ",
       "is for a window of \"month\"; leave it out, or write a date as in \"04-06\""},
      {"1/month anchor=04-06 algorithm=fixed-window", "column 9: ",
       "for a window of \"year\""},
      {"1/month anchor=sun algorithm=fixed-window", "column 9: ",
       "for a window of \"week\" with align=calendar"},
      {"1/week anchor=sun algorithm=fixed-window", "column 8: ",
       "for a window of \"week\" with align=calendar"},
      {"1/month anchor=1 anchor=2 algorithm=fixed-window", "column 18: ",
       "given twice"},
      {"10/s debt=0", "column 11: ", "expected a debt from 1 to 1000000000, found \"0\""},
      {"10/s debt=", "column 11: ", "expected a debt such as \"20\", found nothing"},
      {"10/s debt=5x", "column 12: ", "expected a space or the end after \"debt=5\", found \"x\""},
      {"10/s debt=5 debt=5", "column 13: ", "given twice"},
      {"10/s debt=999999991", "column 6: ",
       "a capacity of 10 and this debt are more than 1000000000 together; write a debt of at most 999999990"},
      {"5/s,1000000000/h algorithm=fixed-window debt=1", "column 41: ",
       "a capacity of 1000000000 leaves no room for a debt; leave \"debt=\" out"},
      {"999/s algorithm=sliding-log debt=2", "column 29: ", "more than 1000 together; write a debt of at most 1"},
      {"1000/s algorithm=sliding-log debt=1", "column 30: ", "leaves no room for a debt"},
      {"10/s algorithm=concurrency debt=1", "column 28: ",
       "no meaning with algorithm=concurrency; leave it out: what is held comes back when it is released"},
      {"1/day debt=10000", "column 7: ",
       "at \"1/day\" this debt would take 27 years to pay back; write a debt of at most 6514"},
      {"5/s,1/day debt=10000 burst=2", "column 11: ", "at \"1/day\" this debt"},
      {"1/day burst=6515 debt=1", "column 18: ", "\"1/day\" leaves no room for a debt"},
      {"1/day burst=6516 debt=1", "column 7: ", "this burst would take"},
      {"10/s delay=5", "column 6: ", "is no part of a policy: in Apache write it beside the policy"},
      {"10/s ban=5min", "column 10: ", "expected a number of denials, as in \"ban=5/10min:1h\""},
      {"10/s ban=", "column 10: ", "expected a number of denials"},
      {"10/s ban=0/min:1h", "column 10: ", "from 1 to 1000000000, found \"0\""},
      {"10/s ban=1000000001/min:1h", "column 10: ", "from 1 to 1000000000"},
      {"10/s ban=5", "column 11: ", "expected \"/\", a window, \":\" and a time after \"5\""},
      {"10/s ban=5/", "column 12: ", "expected a window such as \"10min\""},
      {"10/s ban=5/10m:1h", "column 12: ", "whose length is known"},
      {"10/s ban=5/month:1h", "column 12: ", "whose length is known"},
      {"10/s ban=5/0min:1h", "column 12: ", "from \"1s\" to \"3660day\", found \"0min\""},
      {"10/s ban=5/10min", "column 17: ", "expected \":\" and how long the key is banned after"},
      {"10/s ban=5/10min:", "column 18: ", "expected a ban's length such as"},
      {"10/s ban=5/10min:1\x1bh", "column 18: ", "found \"1\\x1bh\""},
      {"10/s ban=5/10min:3661day", "column 18: ", "from \"1s\" to \"3660day\""},
      {"10/s ban=5/10min:1h:", "column 21: ", "expected the longest ban's length"},
      {"10/s ban=5/10min:1h:1h:1h", "column 21: ", "found \"1h:1h\""},
      {"10/s ban=5/10min:2h:1h", "column 21: ", "shorter than the first, \"2h\"; exchange them"},
      {"10/s ban=5/min:1h ban=5/min:1h", "column 19: ", "given twice"},
      {"10/s burst=5 algorithm=fixed-window", "column 6: ",
       "no meaning with algorithm=fixed-window"},
      {"10/s algorithm=sliding-window burst=5", "column 31: ", "algorithm=sliding-window; leave"},
      {"1/s,999999937/day", "column 5: ",
       "cannot be counted exactly in microseconds; write a quota of 999999930"},
      {"2000000/s", "column 1: ", "write a quota of 1000000,"},
      {"1/week burst=1000000000", "column 8: ", "years to refill; write a burst of at most 930"},
      {"10/s\n", "column 4: ", "found \"s\\x0a\""},
      {"10/s burst=\x1b[31m", "column 12: ", "found \"\\x1b[31m\""},
      {"\"\\\xff", "column 1: ", "found \"\\x22\\x5c\\xff\""},
  };

  (void)state;
  for (size_t i = 0; i < COUNT(cases); ++i) {
    rlc_policy *policy = (rlc_policy *)&policy;
    char why[RLC_MESSAGE_SIZE] = "";

    assert_int_equal(rlc_policy_new(&policy, NULL, cases[i].text, NULL, why, sizeof why),
                     RLC_ERR_POLICY);
    assert_null(policy);
    if (strncmp(why, cases[i].column, strlen(cases[i].column)) != 0 ||
        strstr(why, cases[i].words) == NULL) {
      fail_msg("`%s`: expected `%s... %s`, got `%s`", cases[i].text, cases[i].column,
               cases[i].words, why);
    }
    assert_int_equal(rlc_policy_new(&policy, NULL, cases[i].text, NULL, NULL, 0), RLC_ERR_POLICY);
  }
}

/* No text makes a message too long or unprintable, and none above 1024 bytes is read. */
static void test_long_text(void **state) {
  char text[1200], why[RLC_MESSAGE_SIZE];
  rlc_policy *policy;

  (void)state;
  memset(text, '\xff', sizeof text);
  memcpy(text, "123456789/12345678", 18);
  text[1024] = '\0';
  assert_int_equal(rlc_policy_new(&policy, NULL, text, NULL, why, sizeof why), RLC_ERR_POLICY);
  assert_non_null(strstr(why, "..."));
  for (const char *at = why; *at != '\0'; ++at) {
    assert_in_range(*at, ' ', '~');
  }
  memset(text, ' ', sizeof text);
  memcpy(text, "10/s", 4);
  text[1024] = '\0';
  policy = policy_of(text);
  rlc_policy_del(policy);
  text[1024] = ' ';
  text[1025] = '\0';
  assert_int_equal(rlc_policy_new(&policy, NULL, text, NULL, why, sizeof why), RLC_ERR_POLICY);
  assert_string_equal(why, "column 1025: expected a policy of at most 1024 bytes, found more");
}

/* Cutting a policy short anywhere gives a policy or an error, never anything else. */
static void test_prefixes(void **state) {
  static const char text[] = "10/s,2/3month,5000/day algorithm=fixed-window align=calendar "
                             "tz=Europe/Paris anchor=31";
  char part[sizeof text];

  (void)state;
  for (size_t len = 0; len < sizeof text; ++len) {
    rlc_policy *policy;
    int rv;

    memcpy(part, text, len);
    part[len] = '\0';
    rv = rlc_policy_new(&policy, NULL, part, NULL, NULL, 0);
    assert_true(rv == 0 ? policy != NULL : rv == RLC_ERR_POLICY && policy == NULL);
    rlc_policy_del(policy);
  }
}

/* Names: what the grammar says, and what is refused with a sentence. */
static void test_names(void **state) {
  static const char *const good[] = {"a", "Api", "x-1_Y", "a2345678901234567890123456789012"};
  static const char *const bad[] = {"", "1a", "-a", "_a", "a b", "a.b", "a\xc3\xa4", "a\n",
                                    "a23456789012345678901234567890123"};
  rlc_policy *policy;
  char why[RLC_MESSAGE_SIZE];

  (void)state;
  for (size_t i = 0; i < COUNT(good); ++i) {
    assert_int_equal(rlc_name_ok(good[i]), 1);
    assert_int_equal(rlc_policy_new(&policy, good[i], "1/s", NULL, why, sizeof why), 0);
    assert_string_equal(rlc_policy_get_name(policy), good[i]);
    rlc_policy_del(policy);
  }
  for (size_t i = 0; i < COUNT(bad); ++i) {
    assert_int_equal(rlc_name_ok(bad[i]), 0);
    assert_int_equal(rlc_policy_new(&policy, bad[i], "1/s", NULL, why, sizeof why),
                     RLC_ERR_INVALID);
    assert_null(policy);
    assert_non_null(strstr(why, "expected a name of a letter"));
  }
  assert_int_equal(rlc_name_ok(NULL), 0);
}

/* What is read is what was written, and a missing text is misuse. */
static void test_getters(void **state) {
  rlc_policy *policy = policy_of("10/s,1000/h burst=20");
  uint64_t quota, window_us, capacity;

  (void)state;
  assert_null(rlc_policy_get_name(policy));
  assert_int_equal(rlc_policy_get_algorithm(policy), RLC_TOKEN_BUCKET);
  assert_int_equal(rlc_policy_get_rates(policy), 2);
  assert_int_equal(rlc_policy_get_rate(policy, 0, &quota, &window_us, &capacity), 0);
  assert_true(quota == 10 && window_us == US && capacity == 20);
  assert_int_equal(rlc_policy_get_rate(policy, 1, &quota, &window_us, &capacity), 0);
  assert_true(quota == 1000 && window_us == 3600 * US && capacity == 1000);
  assert_int_equal(rlc_policy_get_rate(policy, 1, NULL, NULL, NULL), 0);
  assert_int_equal(rlc_policy_get_rate(policy, 2, &quota, &window_us, &capacity), RLC_ERR_INVALID);
  assert_string_equal(policy->id, "P7Wy3tA");
  rlc_policy_del(policy);
  rlc_policy_del(NULL);
  assert_int_equal(rlc_policy_new(&policy, NULL, NULL, NULL, NULL, 0), RLC_ERR_INVALID);
  assert_null(policy);
}

/* Each allocation that fails gives RLC_ERR_NOMEM, NULL, and nothing held. */
static void test_nomem(void **state) {
  failing_memory m = {0, 0};
  rlc_memory memory = failing_functions(&m);
  rlc_policy *policy = (rlc_policy *)&m, *share;
  char why[RLC_MESSAGE_SIZE] = "";

  (void)state;
  assert_int_equal(rlc_policy_new(&policy, "a", "1/s", &memory, why, sizeof why), RLC_ERR_NOMEM);
  assert_null(policy);
  assert_string_equal(why, "out of memory");
  m.left = 1;
  assert_int_equal(rlc_policy_new(&policy, "a", "1/s", &memory, why, sizeof why), 0);
  assert_int_equal(rlc__policy_share(&share, policy, 2), RLC_ERR_NOMEM);
  assert_null(share);
  rlc_policy_del(policy);
  assert_int_equal(rlc_policy_new(&policy, "a", "1/x", &memory, why, sizeof why), RLC_ERR_POLICY);
  assert_int_equal(m.held, 0);
  for (int i = 0, rv = RLC_ERR_NOMEM; rv != 0; ++i) {
    m.left = i;
    rv = rlc_policy_new(&policy, "a", "1/month algorithm=fixed-window tz=Europe/Paris", &memory,
                        why, sizeof why);
    assert_true(rv == 0 || (rv == RLC_ERR_NOMEM && policy == NULL && m.held == 0));
    assert_true(rv == 0 || strcmp(why, "out of memory") == 0);
  }
  rlc_policy_del(policy);
  assert_int_equal(m.held, 0);
  for (int i = 0, rv = RLC_ERR_NOMEM; rv != RLC_ERR_POLICY; ++i) {
    m.left = i;
    rv = rlc_policy_new(&policy, "a", "1/month algorithm=fixed-window tz=Europe/Pariss", &memory,
                        why, sizeof why);
    assert_true(rv == RLC_ERR_POLICY || rv == RLC_ERR_NOMEM);
    assert_int_equal(m.held, 0);
  }
}

/* A debt is divided among machines as quotas are, and may come to nothing; all rates have the same. */
static void test_debt(void **state) {
  static const struct {
    const char *text;
    uint64_t parts;
    const char *share;
  } cases[] = {{"10/s debt=9", 2, "5/s debt=4"},
               {"10/s debt=3", 4, "2/s"},
               {"10/s,20/h burst=7 debt=100", 3, "3/s,6/h burst=2 debt=33"},
               {"10/s debt=9 algorithm=fixed-window", 2, "5/s algorithm=fixed-window debt=4"}};

  (void)state;
  for (size_t i = 0; i < COUNT(cases); ++i) {
    rlc_policy *whole = policy_of(cases[i].text);
    rlc_policy *share;

    assert_int_equal(rlc__policy_share(&share, whole, cases[i].parts), 0);
    assert_string_equal(rlc_policy_get_text(share), cases[i].share);
    assert_int_equal(share->rate[0].most, share->rate[0].capacity + rlc_policy_get_debt(share));
    rlc_policy_del(share);
    rlc_policy_del(whole);
  }
}

/* What `ban=` says, in numbers; a policy without one says so. */
static void test_ban(void **state) {
  rlc_policy *with = policy_of("10/s ban=5/10min:1h:1day");
  rlc_policy *without = policy_of("10/s");
  uint64_t denials, window_us, first_us, longest_us;

  (void)state;
  assert_int_equal(rlc_policy_get_ban(with, &denials, &window_us, &first_us, &longest_us), 1);
  assert_int_equal(denials, 5);
  assert_int_equal(window_us, 600 * US);
  assert_int_equal(first_us, 3600 * US);
  assert_int_equal(longest_us, 86400 * US);
  assert_int_equal(rlc_policy_get_ban(without, NULL, NULL, NULL, NULL), 0);
  rlc_policy_del(with);
  rlc_policy_del(without);
}

/* One that is kept lives until it was dropped, too. */
static void test_kept(void **state) {
  rlc_policy *policy = policy_of("10/s");
  const rlc_policy *kept = rlc__policy_keep(policy);

  (void)state;
  rlc_policy_del(policy);
  assert_string_equal(rlc_policy_get_text(kept), "10/s");
  rlc__policy_drop(kept);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_canonical),
      cmocka_unit_test(test_longest),
      cmocka_unit_test(test_errors),
      cmocka_unit_test(test_long_text),
      cmocka_unit_test(test_prefixes),
      cmocka_unit_test(test_names),
      cmocka_unit_test(test_getters),
      cmocka_unit_test(test_nomem),
      cmocka_unit_test(test_debt),
      cmocka_unit_test(test_ban),
      cmocka_unit_test(test_kept),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
