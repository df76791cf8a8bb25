# SPDX-License-Identifier: Apache-2.0
"""Parses structured fields as RFC 9651, section 4.2 tells it, step by step, and strictly: a field that
a client would have to throw away raises ValueError. It shares nothing with the code that writes the
fields. Lists become [(value, {parameter: value}), ...], dictionaries {key: (value, {...})}."""

import base64
import binascii
import string

KEY_FIRST = string.ascii_lowercase + "*"
KEY_REST = string.ascii_lowercase + string.digits + "_-.*"
TOKEN_FIRST = string.ascii_letters + "*"
TOKEN_REST = string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~:/"
BASE64 = string.ascii_letters + string.digits + "+/="


class Token(str):
    pass


class Date(int):
    pass


class Input:
    def __init__(self, text):
        text.encode("ascii")  # UnicodeEncodeError is a ValueError
        self.text = text.strip(" ")
        self.at = 0

    def peek(self):
        return self.text[self.at] if self.at < len(self.text) else ""

    def ended(self):
        return self.at >= len(self.text)

    def take(self):
        c = self.peek()
        self.at += 1
        return c

    def expect(self, c):
        if self.take() != c:
            raise ValueError(f"no {c!r} at {self.at - 1} of {self.text!r}")

    def skip(self, which):
        while self.peek() and self.peek() in which:
            self.at += 1

    def run(self, first, rest):
        start = self.at
        if not self.peek() or self.peek() not in first:
            raise ValueError(f"unexpected {self.peek()!r} at {self.at} of {self.text!r}")
        self.at += 1
        self.skip(rest)
        return self.text[start:self.at]


def parse_list(text):
    return finish(text, members)


def parse_dictionary(text):
    return finish(text, dictionary)


def parse_item(text):
    return finish(text, item)


def finish(text, parser):
    source = Input(text)
    parsed = parser(source)
    if not source.ended():
        raise ValueError(f"more than one field at {source.at} of {text!r}")
    return parsed


def members(source):
    found = []
    while not source.ended():
        found.append(item_or_inner_list(source))
        if not next_member(source):
            break
    return found


def dictionary(source):
    found = {}
    while not source.ended():
        key = source.run(KEY_FIRST, KEY_REST)
        found.pop(key, None)
        if source.peek() == "=":
            source.take()
            found[key] = item_or_inner_list(source)
        else:
            found[key] = (True, parameters(source))
        if not next_member(source):
            break
    return found


def next_member(source):
    """Steps over the comma; there must be something behind it."""
    source.skip(" \t")
    if source.ended():
        return False
    source.expect(",")
    source.skip(" \t")
    if source.ended():
        raise ValueError("a comma at the end")
    return True


def item_or_inner_list(source):
    return inner_list(source) if source.peek() == "(" else item(source)


def inner_list(source):
    source.expect("(")
    found = []
    while not source.ended():
        source.skip(" ")
        if source.peek() == ")":
            source.take()
            return found, parameters(source)
        found.append(item(source))
        if source.peek() not in (" ", ")"):
            raise ValueError("an inner list without spaces")
    raise ValueError("an inner list without an end")


def item(source):
    return bare_item(source), parameters(source)


def parameters(source):
    found = {}
    while source.peek() == ";":
        source.take()
        source.skip(" ")
        key = source.run(KEY_FIRST, KEY_REST)
        value = True
        if source.peek() == "=":
            source.take()
            value = bare_item(source)
        found.pop(key, None)
        found[key] = value
    return found


def bare_item(source):
    c = source.peek()
    if c and c in "-0123456789":
        return number(source)
    if c == '"':
        return quoted(source)
    if c == ":":
        return byte_sequence(source)
    if c == "?":
        return boolean(source)
    if c == "@":
        source.take()
        value = number(source)
        if not isinstance(value, int):
            raise ValueError("a date that is no integer")
        return Date(value)
    if c == "%":
        return display_string(source)
    return Token(source.run(TOKEN_FIRST, TOKEN_REST))


def number(source):
    sign = 1
    if source.peek() == "-":
        source.take()
        sign = -1
    whole = source.run(string.digits, string.digits)
    if source.peek() != ".":
        if len(whole) > 15:
            raise ValueError("an integer of more than 15 digits")
        return sign * int(whole)
    source.take()
    fraction = source.run(string.digits, string.digits)
    if len(whole) > 12 or len(fraction) > 3:
        raise ValueError("a decimal of too many digits")
    return sign * float(f"{whole}.{fraction}")


def quoted(source):
    source.expect('"')
    found = ""
    while not source.ended():
        c = source.take()
        if c == '"':
            return found
        if c == "\\":
            c = source.take()
            if c not in ('"', "\\"):
                raise ValueError("a backslash before something else")
        elif not " " <= c <= "~":
            raise ValueError("a character that no string has")
        found += c
    raise ValueError("a string without an end")


def byte_sequence(source):
    source.expect(":")
    end = source.text.find(":", source.at)
    encoded = source.text[source.at:end]
    if end < 0 or any(c not in BASE64 for c in encoded):
        raise ValueError("a byte sequence without an end, or not in base64")
    source.at = end + 1
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None


def boolean(source):
    source.expect("?")
    c = source.take()
    if c not in ("0", "1"):
        raise ValueError("a boolean that is neither 0 nor 1")
    return c == "1"


def display_string(source):
    source.expect("%")
    source.expect('"')
    found = b""
    while not source.ended():
        c = source.take()
        if c == '"':
            return found.decode("utf-8")
        if c == "%":
            digits = source.take() + source.take()
            if len(digits) != 2 or any(d not in "0123456789abcdef" for d in digits):
                raise ValueError("a percent sign without two digits")
            found += bytes([int(digits, 16)])
        elif " " <= c <= "~":
            found += c.encode()
        else:
            raise ValueError("a character that no string has")
    raise ValueError("a string without an end")
