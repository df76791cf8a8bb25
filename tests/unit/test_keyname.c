/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/hmac.h>

#include "base/memory.h"
#include "redis/keyname.h"

/* The hash of |key| under |secret| (NULL: none), as text. */
static const char *hash_of(const void *secret, size_t secret_len, const void *key, size_t key_len) {
  static char hash[RLC__KEYNAME_HASH + 1];
  EVP_MD_CTX *work = EVP_MD_CTX_new();
  rlc__keyname *names;

  assert_int_equal(
      rlc__keyname_new(&names, "rl", secret, secret_len, rlc__memory_or_default(NULL)), 0);
  assert_int_equal(rlc__keyname_hash(names, work, key, key_len, hash), 0);
  rlc__keyname_del(names);
  EVP_MD_CTX_free(work);
  return hash;
}

/* HMAC-SHA-256: the published vectors, RFC 4231 cases 1, 2, 3, 6 and 7, cut to 12 bytes. */
static void hmac_test(void **state) {
  static const char larger[] =
      "This is a test using a larger than block-size key and a larger than block-size data. The "
      "key needs to be hashed before being used by the HMAC algorithm.";
  static const char first[] = "Test Using Larger Than Block-Size Key - Hash Key First";
  unsigned char a[131], b[20], d[50];

  (void)state;
  memset(a, 0xaa, sizeof a);
  memset(b, 0x0b, sizeof b);
  memset(d, 0xdd, sizeof d);
  assert_string_equal(hash_of(b, 20, "Hi There", 8), "sDRMYdjbOFNcqK_O");
  assert_string_equal(hash_of("Jefe", 4, "what do ya want for nothing?", 28), "W9zBRr9gdU5qBCQm");
  assert_string_equal(hash_of(a, 20, d, 50), "dz6pHjaADkaFTbjr");
  assert_string_equal(hash_of(a, 131, first, sizeof first - 1), "YOQxWR7gtn8Niiaq");
  assert_string_equal(hash_of(a, 131, larger, sizeof larger - 1), "mwn_pxuUL8snY1-8");
}

/* SHA-256 without a secret: the vectors of FIPS 180-2, and a key with a NUL inside. */
static void plain_test(void **state) {
  (void)state;
  assert_string_equal(hash_of(NULL, 0, "", 0), "47DEQpj8HBSa-_TI");
  assert_string_equal(hash_of(NULL, 0, "abc", 3), "ungWv48Bz-pBQUDe");
  assert_string_equal(
      hash_of(NULL, 0, "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56),
      "JI1qYdIGOLjlwCaT");
  assert_string_equal(hash_of(NULL, 0, "a\0b", 3), "WbJxrhu8sdMdQZKY");
  assert_string_equal(hash_of(NULL, 0, "a", 1), "ypeBEsobvcr6wjGz");
}

/* Secrets of every length from 16 to 140 bytes, around the block size too, give what OpenSSL's own
 * HMAC gives. */
static void lengths_test(void **state) {
  unsigned char secret[140], digest[32], text[17];

  (void)state;
  for (size_t i = 0; i < sizeof secret; ++i) {
    secret[i] = (unsigned char)(i * 37 + 11);
  }
  for (size_t len = 16; len <= sizeof secret; ++len) {
    HMAC(EVP_sha256(), secret, (int)len, (const unsigned char *)"key", 3, digest, NULL);
    EVP_EncodeBlock(text, digest, 12);
    for (size_t i = 0; i < 16; ++i) {
      text[i] = text[i] == '+' ? '-' : text[i] == '/' ? '_' : text[i];
    }
    assert_string_equal(hash_of(secret, len, "key", 3), (char *)text);
  }
}

/* A context that is used again, in turn with and without a secret, carries nothing over. */
static void reuse_test(void **state) {
  EVP_MD_CTX *work = EVP_MD_CTX_new();
  rlc__keyname *plain, *keyed;
  char hash[RLC__KEYNAME_HASH];

  (void)state;
  assert_int_equal(rlc__keyname_new(&plain, "rl", NULL, 0, rlc__memory_or_default(NULL)), 0);
  assert_int_equal(rlc__keyname_new(&keyed, "rl", "Jefe", 4, rlc__memory_or_default(NULL)), 0);
  for (int i = 0; i < 3; ++i) {
    assert_int_equal(rlc__keyname_hash(plain, work, "abc", 3, hash), 0);
    assert_memory_equal(hash, "ungWv48Bz-pBQUDe", 16);
    assert_int_equal(rlc__keyname_hash(keyed, work, "what do ya want for nothing?", 28, hash), 0);
    assert_memory_equal(hash, "W9zBRr9gdU5qBCQm", 16);
  }
  rlc__keyname_del(plain);
  rlc__keyname_del(keyed);
  EVP_MD_CTX_free(work);
}

/* The tag tells algorithm and format: a stack's state is not that of a single rate. */
static void tag_test(void **state) {
  (void)state;
  assert_int_equal(rlc__keyname_tag(RLC_TOKEN_BUCKET, 1), 'b');
  assert_int_equal(rlc__keyname_tag(RLC_FIXED_WINDOW, 1), 'f');
  assert_int_equal(rlc__keyname_tag(RLC_SLIDING_WINDOW, 1), 's');
  assert_int_equal(rlc__keyname_tag(RLC_SLIDING_LOG, 1), 'l');
  assert_int_equal(rlc__keyname_tag(RLC_SLIDING_LOG, 2), 'L');
  assert_int_equal(rlc__keyname_tag(RLC_CONCURRENCY, 1), 'c');
  assert_int_equal(rlc__keyname_tag(RLC_TOKEN_BUCKET, 2), 'B');
  assert_int_equal(rlc__keyname_tag(RLC_FIXED_WINDOW, 2), 'F');
  assert_int_equal(rlc__keyname_tag(RLC_SLIDING_WINDOW, RLC_MAX_RATES), 'S');
}

/* The name, as short as it gets and with the longest of all its parts. */
static void format_test(void **state) {
  static const char longest[] =
      "pppppppppppppppppppppppppppppppp:{fedcba9876543210}0123456789abcdef"
      ":Bnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn";
  char buf[RLC__KEYNAME_SIZE];
  rlc__keyname *names;

  (void)state;
  assert_int_equal(rlc__keyname_new(&names, "rl", NULL, 0, rlc__memory_or_default(NULL)), 0);
  assert_int_equal(rlc__keyname_format(names, NULL, "0123456789abcdef", 'b', "api", 3, buf), 26);
  assert_string_equal(buf, "rl:{0123456789abcdef}:bapi");
  rlc__keyname_del(names);
  assert_int_equal(rlc__keyname_new(&names, "pppppppppppppppppppppppppppppppp", NULL, 0,
                                    rlc__memory_or_default(NULL)),
                   0);
  assert_int_equal(rlc__keyname_format(names, "fedcba9876543210", "0123456789abcdef", 'B',
                                       "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn", RLC_MAX_NAME, buf),
                   RLC__KEYNAME_SIZE - 1);
  assert_string_equal(buf, longest);
  rlc__keyname_del(names);
}

/* The hash of a group stands in the braces, before that of the key, and is what a key of the same text
 * has. (Python: base64.urlsafe_b64encode(hmac.digest(secret, key, "sha256")[:12]).) */
static void group_test(void **state) {
  static const char secret[] = "a secret of 22 letters";
  char group[RLC__KEYNAME_HASH], hash[RLC__KEYNAME_HASH], buf[RLC__KEYNAME_SIZE];
  EVP_MD_CTX *work = EVP_MD_CTX_new();
  rlc__keyname *names;

  (void)state;
  for (int keyed = 0; keyed < 2; ++keyed) {
    assert_int_equal(rlc__keyname_new(&names, "rl", keyed ? secret : NULL,
                                      keyed ? sizeof secret - 1 : 0, rlc__memory_or_default(NULL)),
                     0);
    assert_int_equal(rlc__keyname_hash(names, work, "tenant", 6, group), 0);
    assert_int_equal(rlc__keyname_hash(names, work, "abc", 3, hash), 0);
    assert_int_equal(rlc__keyname_format(names, group, hash, 'b', "api", 3, buf), 42);
    assert_string_equal(buf, keyed ? "rl:{b3UnIf1DjdKGsrPO}nWVaJ98BXNxH3-El:bapi"
                                   : "rl:{6dqG01HPmnZC2MUB}ungWv48Bz-pBQUDe:bapi");
    rlc__keyname_format(names, NULL, group, 'b', "api", 3, buf);
    assert_string_equal(buf, keyed ? "rl:{b3UnIf1DjdKGsrPO}:bapi" : "rl:{6dqG01HPmnZC2MUB}:bapi");
    rlc__keyname_del(names);
  }
  EVP_MD_CTX_free(work);
}

/* A prefix that would not fit is refused, and nothing made. */
static void prefix_test(void **state) {
  rlc__keyname *names = (rlc__keyname *)1;

  (void)state;
  assert_int_equal(rlc__keyname_new(&names, "ppppppppppppppppppppppppppppppppp", NULL, 0,
                                    rlc__memory_or_default(NULL)),
                   RLC_ERR_INVALID);
  assert_null(names);
  rlc__keyname_del(NULL);
}

/* The index's keys share a slot that no partition key's hash is. */
static void index_test(void **state) {
  rlc__keyname *names;
  char buf[RLC__KEYNAME_SIZE];
  char tail[16 + RLC_MAX_NAME];

  (void)state;
  memset(tail, 'n', sizeof tail);
  assert_int_equal(rlc__keyname_new(&names, "a.prefix.of.thirty.two.letters.x", NULL, 0,
                                    rlc__memory_or_default(NULL)),
                   0);
  assert_int_equal(rlc__keyname_format_index(names, 'e', "", 0, buf), 42);
  assert_string_equal(buf, "a.prefix.of.thirty.two.letters.x:{index}:e");
  assert_int_equal(rlc__keyname_format_index(names, 'd', tail, sizeof tail, buf), 42 + sizeof tail);
  assert_memory_equal(buf, "a.prefix.of.thirty.two.letters.x:{index}:dnnn", 45);
  assert_true(rlc__keyname_format_index(names, 'd', tail, sizeof tail, buf) < sizeof buf);
  rlc__keyname_del(names);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(hmac_test),  cmocka_unit_test(plain_test),  cmocka_unit_test(lengths_test),
      cmocka_unit_test(reuse_test), cmocka_unit_test(tag_test),    cmocka_unit_test(format_test),
      cmocka_unit_test(group_test), cmocka_unit_test(index_test), cmocka_unit_test(prefix_test),
  };
  return cmocka_run_group_tests_name("keyname", tests, NULL, NULL);
}
