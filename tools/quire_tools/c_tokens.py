# SPDX-License-Identifier: MIT
"""C as a mutator sees it: tokens, the bodies of functions, and the statements in them.

No parser of C: it knows just enough of the language to tell code from declarations, a
condition from a call, and a minus from a sign, in sources that clang-format has formatted.
"""
import re
from dataclasses import dataclass

TOKEN = re.compile(r"""
    (?P<blank>\s+ | //[^\n]* | /\*.*?\*/)
  | (?P<directive>^[ \t]*\#(?:[^\n\\]|\\.|\\\n)*)
  | (?P<string>L?"(?:[^"\\\n]|\\.)*" | L?'(?:[^'\\\n]|\\.)*')
  | (?P<number>\.?\d(?:[eEpP][+-]|[\w.])*)
  | (?P<word>[A-Za-z_]\w*)
  | (?P<mark>\.\.\.|<<=|>>=|->|\+\+|--|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^]=|[-+*/%&|^~!<>=?:;,.(){}\[\]])
""", re.X | re.S | re.M)

TYPES = {"void", "bool", "char", "short", "int", "long", "signed", "unsigned", "float", "double", "struct", "union",
         "enum", "const", "volatile", "static", "extern", "register", "typedef", "_Atomic", "_Alignas", "__thread",
         "inline", "u128"}
OPENS = {"(": ")", "[": "]", "{": "}"}


@dataclass(frozen=True)
class Token:
    kind: str
    text: str
    at: int    # offset of its first character
    line: int  # from 1 on

    @property
    def end(self):
        return self.at + len(self.text)


def tokens_of(text):
    """All tokens of a source, without white space, comments and directives."""
    tokens, at, line = [], 0, 1
    while at < len(text):
        found = TOKEN.match(text, at)
        if not found:
            raise ValueError(f"line {line}: no C token begins with {text[at:at + 20]!r}")
        if found.lastgroup not in ("blank", "directive"):
            tokens.append(Token(found.lastgroup, found.group(), at, line))
        line += found.group().count("\n")
        at = found.end()
    return tokens


def is_type(token):
    return token.kind == "word" and (token.text in TYPES or token.text.endswith("_t"))


@dataclass(frozen=True)
class Statement:
    """Tokens first .. last of the source; last is the semicolon, or the ")" of a condition."""
    kind: str  # "declaration", "call", "assignment", "jump", "return", "other", "condition", "head"
    function: str
    first: int
    last: int


class Source:
    """One C file: its tokens, which bracket closes which, its statements."""

    def __init__(self, text):
        self.text = text
        self.tokens = tokens_of(text)
        self.partner = self._pairs()
        self.statements = []
        self.functions = []  # (name, first token of the body, last)
        self._find_functions()

    def _pairs(self):
        partner, open_now = {}, []
        for i, token in enumerate(self.tokens):
            if token.kind != "mark":
                continue
            if token.text in OPENS:
                open_now.append(i)
            elif token.text in ")]}":
                j = open_now.pop()
                if OPENS[self.tokens[j].text] != token.text:
                    raise ValueError(f"line {token.line}: {token.text} closes {self.tokens[j].text}")
                partner[i], partner[j] = j, i
        return partner

    def is_mark(self, i, text):
        return i < len(self.tokens) and self.tokens[i].kind == "mark" and self.tokens[i].text == text

    def is_word(self, i, *words):
        return i < len(self.tokens) and self.tokens[i].kind == "word" and self.tokens[i].text in words

    def _find_functions(self):
        """A body is a brace at top level that follows a parenthesis."""
        i = 0
        while i < len(self.tokens):
            if self.is_mark(i, "{"):
                if i and self.is_mark(i - 1, ")"):
                    name = self.tokens[self.partner[i - 1] - 1].text
                    self.functions.append((name, i, self.partner[i]))
                    self._block(name, i)
                i = self.partner[i]
            i += 1

    def _block(self, function, i):
        """The statements between the brace at i and its partner."""
        end = self.partner[i]
        i += 1
        while i < end:
            i = self._statement(function, i)

    def _add(self, kind, function, first, last):
        self.statements.append(Statement(kind, function, first, last))

    def _statement(self, function, i):
        """Note the statement that begins at i; returns where the next one does."""
        if self.is_mark(i, "{"):
            self._block(function, i)
            return self.partner[i] + 1
        if self.is_word(i, "if", "while", "switch", "for"):
            close = self.partner[i + 1]
            kind = "condition" if self.is_word(i, "if", "while") else "head"
            self._add(kind, function, i + 1, close)
            return close + 2 if self.is_mark(close + 1, ";") else close + 1
        if self.is_word(i, "do", "else"):
            return i + 1
        if self.is_word(i, "case", "default"):
            while not self.is_mark(i, ":"):
                i += 1
            return i + 1
        last = self._semicolon(i)
        self._add(self._kind(i, last), function, i, last)
        return last + 1

    def _semicolon(self, i):
        while not self.is_mark(i, ";"):
            i = self.partner[i] + 1 if self.tokens[i].text in OPENS and self.tokens[i].kind == "mark" else i + 1
        return i

    def _kind(self, i, last):
        first = self.tokens[i]
        if first.kind == "word" and first.text in ("break", "continue"):
            return "jump"
        if self.is_word(i, "return"):
            return "return"
        if is_type(first) or (first.kind == "word" and self.tokens[i + 1].kind == "word"):
            return "declaration"
        if first.kind == "word" and self.is_mark(i + 1, "*") and self.tokens[i + 2].kind == "word":
            return "declaration"
        if self.is_mark(i, "(") and self.is_word(i + 1, "void") and self.is_mark(i + 2, ")"):
            i += 3
        for j in self._at_depth_0(i, last):
            if self.tokens[j].text in ("=", "+=", "-=", "|=", "&=", "^=", "*=", "/=", "%=", "<<=", ">>=", "++", "--"):
                return "assignment"
        if self.is_mark(last - 1, ")") and self.tokens[self.partner[last - 1] - 1].kind == "word":
            return "call"
        return "other"

    def _at_depth_0(self, i, last):
        while i < last:
            yield i
            i = self.partner[i] + 1 if self.partner.get(i, -1) > i else i + 1

    def code_of(self, statement):
        """Indices of the tokens of a statement that are code: of a declaration, what follows "="."""
        if statement.kind != "declaration":
            yield from range(statement.first, statement.last)
            return
        in_code = False
        for i in self._at_depth_0(statement.first, statement.last):
            if self.is_mark(i, "="):
                in_code = True
            elif self.is_mark(i, ","):
                in_code = False
            elif in_code:
                yield from range(i, self.partner[i] + 1 if self.partner.get(i, -1) > i else i + 1)

    def is_cast(self, close):
        """Whether the parenthesis that ends at `close` holds a type."""
        inner = self.tokens[self.partner[close] + 1:close]
        return bool(inner) and is_type(inner[0]) and all(t.kind == "word" or t.text == "*" for t in inner)

    def is_binary(self, i):
        """Whether the operator at i has something to its left."""
        left = self.tokens[i - 1]
        if left.kind == "mark":
            return left.text == "]" or (left.text == ")" and not self.is_cast(i - 1))
        return left.text not in ("return", "case", "sizeof") and not is_type(left)
