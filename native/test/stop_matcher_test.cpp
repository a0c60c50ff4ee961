#include "core/stop_matcher.h"

#include <algorithm>
#include <random>

#include "check.h"

namespace {

using phi2::StopMatcher;
using phi2::StopRule;
using phi2::StopSpec;
using phi2::test::Shown;

struct Cut {
  std::string text;
  int rule;
};

bool operator==(const Cut& a, const Cut& b) { return a.text == b.text && a.rule == b.rule; }
std::ostream& operator<<(std::ostream& stream, const Cut& cut) {
  return stream << Shown(cut.text) << " by rule " << cut.rule;
}

StopRule Anywhere(std::string text) { return {std::move(text)}; }
StopRule LineStart(std::string text) { return {std::move(text), StopRule::At::kLineStart}; }
StopRule AfterSentence(std::string text) { return {std::move(text), StopRule::At::kLineStart, true}; }
StopRule Heading(std::string text) { return {std::move(text), StopRule::At::kLineStart, false, true}; }
StopRule Dedent(int columns) {
  StopRule rule;
  rule.dedent = columns;
  return rule;
}

Cut Run(const StopSpec& spec, const std::vector<std::string_view>& pieces) {
  StopMatcher matcher(spec);
  std::string text;
  for (const std::string_view piece : pieces) {
    const bool goes_on = matcher.Push(piece);
    CHECK_EQ(goes_on, matcher.fired_rule() < 0);
    text += matcher.TakeReleased();
    CHECK_EQ(text.size(), matcher.released_bytes());
  }
  matcher.Finish();
  text += matcher.TakeReleased();
  CHECK_EQ(text.size(), matcher.released_bytes());
  return {text, matcher.fired_rule()};
}

/// Checks the cut for every way of cutting `text` into two pushes, and for single bytes.
void CheckCut(const StopSpec& spec, const std::string& text, const std::string& expected, int rule) {
  const std::string_view view = text;
  for (size_t at = 0; at <= text.size(); ++at) {
    CHECK_EQ_IN(Run(spec, {view.substr(0, at), view.substr(at)}), (Cut{expected, rule}), Shown(text));
  }
  std::vector<std::string_view> bytes;
  for (size_t i = 0; i < text.size(); ++i) bytes.push_back(view.substr(i, 1));
  CHECK_EQ_IN(Run(spec, bytes), (Cut{expected, rule}), Shown(text));
}

void CheckWhole(const StopSpec& spec, const std::string& text) { CheckCut(spec, text, text, -1); }

/// What StopMatcher promises for rules without a heading or dedent, by trying every rule at every byte.
struct Reference {
  const StopSpec& spec;
  const std::string& text;

  bool LineStartsAt(size_t at) const { return at == 0 ? spec.at_line_start : text[at - 1] == '\n'; }

  /// The definition, for the tests' alphabet: a full stop and white space, or text and a blank line after it.
  bool HasSentenceBefore(size_t at) const {
    bool has_text = false;
    bool line_is_blank = true;
    for (size_t i = 0; i < at; ++i) {
      if (text[i] == '\n') {
        if (i > 0 && text[i - 1] == '.') return true;
        if (has_text && line_is_blank) return true;
        line_is_blank = true;
      } else {
        has_text = true;
        line_is_blank = false;
      }
    }
    return false;
  }

  bool Applies(const StopRule& rule, size_t at) const {
    if (rule.at == StopRule::At::kAnywhere) return true;
    return LineStartsAt(at) && (!rule.after_sentence || HasSentenceBefore(at));
  }

  Cut Result() const {
    for (size_t end = 1; end <= text.size(); ++end) {
      size_t start = end;
      int fired = -1;
      for (size_t i = 0; i < spec.rules.size(); ++i) {
        const std::string& rule = spec.rules[i].text;
        if (rule.size() > end) continue;
        const size_t at = end - rule.size();
        if (text.compare(at, rule.size(), rule) == 0 && at < start && Applies(spec.rules[i], at)) {
          start = at;
          fired = static_cast<int>(i);
        }
      }
      if (fired >= 0) return {text.substr(0, start), fired};
    }
    return {text, -1};
  }

  /// Bytes of text[0, end) that no rule can claim any more.
  size_t Released(size_t end) const {
    for (size_t at = 0; at < end; ++at) {
      for (const StopRule& rule : spec.rules) {
        const size_t n = end - at;
        if (n < rule.text.size() && text.compare(at, n, rule.text, 0, n) == 0 && Applies(rule, at)) return at;
      }
    }
    return end;
  }
};

std::string Described(const StopSpec& spec, const std::string& text) {
  std::string described = Shown(text) + (spec.at_line_start ? " at line start" : "");
  for (const StopRule& rule : spec.rules) {
    described += ' ' + Shown(rule.text);
    if (rule.at == StopRule::At::kLineStart) described += rule.after_sentence ? " after a sentence" : " at line start";
  }
  return described;
}

TEST("a rule that may stand anywhere cuts the text where it begins") {
  const StopSpec spec{{Anywhere("<|endoftext|>")}};
  CheckCut(spec, "The end.<|endoftext|>Instruction: more", "The end.", 0);
  CheckCut(spec, "<|endoftext|>", "", 0);
  CheckCut(spec, "<<|endoftext<|endoftext|>", "<<|endoftext", 0);
  CheckWhole(spec, "a <|endoftext| > b <|endof");
  CheckWhole(spec, "");
}

TEST("bytes are released as soon as no rule can claim them, and not before") {
  StopMatcher matcher({{Anywhere("abc"), Anywhere("bd")}});
  CHECK(matcher.Push("xab"));
  CHECK_EQ(matcher.TakeReleased(), "x");
  CHECK(matcher.Push("a"));
  CHECK_EQ(matcher.TakeReleased(), "ab");
  CHECK(matcher.Push("b"));
  CHECK_EQ(matcher.TakeReleased(), "");
  CHECK(!matcher.Push("dxyz"));
  CHECK_EQ(matcher.TakeReleased(), "a");
  CHECK_EQ(matcher.fired_rule(), 1);
  CHECK(!matcher.Push("more"));
  matcher.Finish();
  CHECK_EQ(matcher.TakeReleased(), "");
  CHECK_EQ(matcher.released_bytes(), size_t{4});
}

TEST("the rule that is complete first wins, of several on one byte the one that began first") {
  CheckCut({{Anywhere("abcd"), Anywhere("bc")}}, "xabcd", "xa", 1);
  CheckCut({{Anywhere("bc"), Anywhere("abc")}}, "xabc", "x", 1);
  CheckCut({{Anywhere("c"), Anywhere("bc"), Anywhere("abc")}}, "xabc", "x", 2);
  CheckCut({{LineStart("ab"), Anywhere("ab")}}, "ab", "", 1);
  CheckCut({{LineStart("ab"), Anywhere("ab")}}, "\nab", "\n", 0);
}

TEST("a line-start rule counts only where a line begins") {
  const StopSpec spec{{LineStart("Bob:")}};
  CheckCut(spec, " Hi.\nBob: yes", " Hi.\n", 0);
  CheckCut(spec, " Hi.\r\nBob: yes", " Hi.\r\n", 0);
  CheckWhole(spec, "Bob: a Bob: b\n Bob: c\nBo\nBob");
  CheckCut({{LineStart("Bob:")}, true}, "Bob: yes", "", 0);
}

TEST("rules may contain line breaks") {
  CheckCut({{Anywhere("\n\n")}}, "a\nb\n\nc", "a\nb", 0);
  CheckCut({{Anywhere("\n\n")}}, "\n\n", "", 0);
  CheckCut({{LineStart("a\na\nb")}}, "x\na\na\na\nb", "x\na\n", 0);
  CheckCut({{Anywhere("b\n"), LineStart("a\nab")}, true}, "a\nab", "", 1);
}

TEST("after_sentence waits for a sentence or a paragraph before the line") {
  const StopSpec spec{{AfterSentence("Answer:")}};
  CheckWhole(spec, "\nAnswer: 4");
  CheckWhole(spec, "\n\n \nAnswer: 4");
  CheckWhole(spec, "The list\nAnswer: 4");
  CheckWhole(spec, "Version 1.5\nAnswer: 4");
  CheckWhole(spec, "x.y!z?w\nAnswer: 4");
  CheckCut(spec, "It is 4.\nAnswer: 4", "It is 4.\n", 0);
  CheckCut(spec, "It is 4. And\nAnswer: 4", "It is 4. And\n", 0);
  CheckCut(spec, "\"Is it?\")\t\nAnswer: 4", "\"Is it?\")\t\n", 0);
  CheckCut(spec, "**Yes!**\r\nAnswer: 4", "**Yes!**\r\n", 0);
  CheckCut(spec, "\xE2\x80\x9CWell\xE2\x80\xA6\xE2\x80\x9D\nAnswer: 4", "\xE2\x80\x9CWell\xE2\x80\xA6\xE2\x80\x9D\n",
           0);
  CheckCut(spec, "\xE5\xA5\xBD\xE3\x80\x82\xE5\xA5\xBD\nAnswer: 4", "\xE5\xA5\xBD\xE3\x80\x82\xE5\xA5\xBD\n", 0);
  CheckCut(spec, "4\n \t\nAnswer: 4", "4\n \t\n", 0);
  CheckCut(spec, "4\r\n\r\nAnswer: 4", "4\r\n\r\n", 0);
  // The line of the first sentence is not armed by itself.
  CheckCut({{AfterSentence("A.")}, true}, "A.\nA.\n", "A.\n", 0);
}

TEST("a rule that is not armed holds nothing back") {
  StopMatcher matcher({{AfterSentence("Answer:"), LineStart("And")}, true});
  CHECK(matcher.Push("An"));
  CHECK_EQ(matcher.TakeReleased(), "");
  CHECK(matcher.Push("s"));
  CHECK_EQ(matcher.TakeReleased(), "Ans");
  CHECK(matcher.Push("wer: 4.\nAns"));
  CHECK_EQ(matcher.TakeReleased(), "wer: 4.\n");
}

TEST("a heading stops at a colon or at the end of a line that holds no more than an index") {
  const StopSpec spec{{Heading("Exercise"), Heading("Follow-up")}};
  for (const char* heading : {"Exercise:",
                              "Exercise 2:",
                              "Exercise 2: Explain",
                              "Exercise\n",
                              "Exercise \t\r\n",
                              "Exercise 2\n",
                              "Exercise #3\n",
                              "Exercise 2.\n",
                              "Exercise 2.1\n",
                              "Exercise II\n",
                              "Exercise A)\r\n",
                              "Exercise (b)\n",
                              "Exercise 2. Write",
                              "Exercise 2) Write",
                              "Exercise one two three four:",
                              "Exercise 2.1 (hard):",
                              "Exercise",
                              "Exercise 12",
                              "Exercise IV.",
                              "Exercise2:",
                              "Exercise - 2 :"}) {
    CheckCut(spec, std::string("x\n") + heading, "x\n", 0);
  }
  CheckCut(spec, "x\nFollow-up Exercise 1: Write", "x\n", 1);
  CheckCut(spec, "x\nFollow-up 1:", "x\n", 1);
}

TEST("a heading's label that begins a sentence does not stop") {
  const StopSpec spec{{Heading("Exercise"), Heading("Practice")}};
  for (const char* line : {"Exercises are good: do them.",
                           "Exercises:",
                           "Practice makes perfect\n",
                           "Practice makes perfect.",
                           "Practice every day. Always: yes",
                           "Exercise is good\nfor you",
                           "Practice, practice: practice",
                           "Exercise one two three four five:",
                           "Exercise? Yes:",
                           "Exercise!",
                           "Practice.",
                           "Practice...\n",
                           "Practice-based: learning",
                           "Practice's end:",
                           "Exercise\xC3\xA9:",
                           "Exercise_1:",
                           "Exercise e.g. this:",
                           "Exercise 30 minutes",
                           "Exercise a.b c:",
                           "Exercise 2..",
                           "Exercise .",
                           "Exercise ###########################################################################:"}) {
    CheckWhole(spec, std::string("x\n") + line);
  }
}

TEST("the rest of a heading is at most 64 bytes") {
  const StopSpec spec{{Heading("Exercise")}, true};
  const std::string rest(63, 'x');
  CheckCut(spec, "Exercise " + rest.substr(1) + ":", "", 0);
  CheckWhole(spec, "Exercise " + rest + ":");
  CheckCut(spec, "Exercise" + std::string(64, ' ') + "\n", "", 0);
  CheckWhole(spec, "Exercise" + std::string(65, ' ') + "\n");
}

TEST("other rules see the bytes of a heading that is still undecided") {
  const StopSpec spec{{Heading("Exercise"), Anywhere("STOP"), Heading("Exercise 2"), Anywhere("2:")}};
  CheckCut(spec, "x\nExercise STOP:", "x\nExercise ", 1);
  CheckCut(spec, "x\nExercise 2:", "x\n", 0);
  CheckCut({{Heading("Exercise 2"), Heading("Exercise")}}, "x\nExercise 2\n", "x\n", 0);
  CheckCut({{Heading("Exercise 2"), LineStart("Exercise")}}, "x\nExercise 2\n", "x\n", 1);
}

TEST("a heading holds its line back until it is decided") {
  StopMatcher matcher({{Heading("Exercise")}});
  CHECK(matcher.Push("a\nExercise is"));
  CHECK_EQ(matcher.TakeReleased(), "a\n");
  CHECK(matcher.Push(" good."));
  CHECK_EQ(matcher.TakeReleased(), "Exercise is good.");
}

TEST("a Python block ends with the first statement that is not indented more than its head") {
  const StopSpec spec{{Dedent(0)}};
  CheckCut(spec, "\n   return 1\n\nprint(f(2))\n", "\n   return 1\n\n", 0);
  CheckCut(spec, "\r\n   return 1\r\n\r\nprint(f(2))\r\n", "\r\n   return 1\r\n\r\n", 0);
  CheckCut(spec, " return 1\nx", " return 1\n", 0);
  CheckCut(spec, "\n   if a:\n      b\nelse:\n   c", "\n   if a:\n      b\n", 0);
  CheckCut(spec, "\n\treturn 1\n)", "\n\treturn 1\n", 0);
  CheckWhole(spec, "\n   for i in range(n):\n      print(i)\n\n   return\n\n");
  CheckCut({{Dedent(4)}}, "\n        return 1\n    def g():", "\n        return 1\n", 0);
  CheckCut({{Dedent(4)}}, "\n\treturn 1\n    \tx\n  \tx\n    x", "\n\treturn 1\n    \tx\n  \tx\n", 0);
  CheckCut({{Dedent(9)}}, "\n          y\n  \tx", "\n          y\n", 0);
  CheckCut({{Dedent(0)}, true}, "x = 1", "", 0);
  CheckCut({{Dedent(0)}, true}, "   x = 1\n@", "   x = 1\n@", -1);
}

TEST("brackets, strings and backslashes carry a block over lines that are not indented") {
  const StopSpec spec{{Dedent(0)}};
  const std::string end = "\nend";
  for (const char* body :
       {"\n   f(1,\n2\n)", "\n   x = [\n# c )\n(\n{\n}\n)\n]", "\n   s = '''\nx\n'y'\n''\n'''",
        "\n   s = \"\"\"\n\\\"\"\"\nx\"\"\"", "\n   x = 1 + \\\n2", "\n   x = 1 + \\\r\n2", "\n   s = 'a\\\nb'",
        "\n   s = 'a\\\r\nb'", "\n   s = '(' + \"[\"", "\n   s = '' + \"\" + '\\''", "\n   s = 'it", "\n   # don't (",
        "\n   s = r'\\'", "\n   x = ')'", "\n   x)", "\n   x = \"'\"", "\n   f(\"\"\")\n\"\"\")\n   y"}) {
    CheckCut(spec, body + end, std::string(body) + "\n", 0);
  }
}

TEST("comments and decorators go with the line that follows them") {
  const StopSpec spec{{Dedent(0)}};
  const std::string body = "\n   return 1\n\n";
  CheckCut(spec, body + "# Test it\nprint(1)", body, 0);
  CheckCut(spec, body + "# a\n\n  \n# b\n@c(\n1)\n\ndef g():", body, 0);
  CheckCut(spec, body + "# a\n   x = 1\n# b\ny", body + "# a\n   x = 1\n", 0);
  CheckCut(spec, body + "# a\n   # b\n# c\ny", body + "# a\n   # b\n", 0);
  CheckCut(spec, body + "   @c\n   def g(): pass\ny", body + "   @c\n   def g(): pass\n", 0);
  CheckWhole(spec, body + "# a\n\n# b");
  CheckWhole(spec, body + "@c\n   ");
}

TEST("a pending comment is held back until the next line decides") {
  StopMatcher matcher({{Dedent(0)}});
  CHECK(matcher.Push("\n   x\n# a\n\n "));
  CHECK_EQ(matcher.TakeReleased(), "\n   x\n");
  CHECK(matcher.Push("  y"));
  CHECK_EQ(matcher.TakeReleased(), "# a\n\n   y");
  CHECK(matcher.Push("\n# b"));
  CHECK_EQ(matcher.TakeReleased(), "\n");
  matcher.Finish();
  CHECK_EQ(matcher.TakeReleased(), "# b");
}

TEST("a dedent rule works beside text rules") {
  const StopSpec spec{{Dedent(0), LineStart("```"), Anywhere("<|endoftext|>"), Dedent(2)}};
  CheckCut(spec, "\n   x\n```\nprose", "\n   x\n", 3);
  CheckCut(spec, "\n   x<|endoftext|>y", "\n   x", 2);
  CheckCut({{Dedent(0), LineStart("```")}}, "\n   s = '''\n```\n'''", "\n   s = '''\n", 1);
}

TEST("random rules and cuts give what trying every rule at every byte gives") {
  std::mt19937 random(7);
  const auto pick = [&](size_t n) { return static_cast<size_t>(random() % n); };
  const std::string alphabet = "ab.\n";
  const auto random_text = [&](size_t max_length) {
    std::string text;
    for (size_t n = pick(max_length); n > 0; --n) text += alphabet[pick(alphabet.size())];
    return text;
  };
  int n_fired = 0;
  for (int round = 0; round < 40000; ++round) {
    StopSpec spec;
    spec.at_line_start = pick(2) == 0;
    for (size_t n = pick(6); n > 0; --n) {
      StopRule rule;
      rule.text = alphabet[pick(alphabet.size())] + random_text(5);
      // A conditional rule with a line break inside may be held back longer than this reference holds it.
      const size_t kind = pick(rule.text.find('\n') < rule.text.size() - 1 ? 2 : 3);
      if (kind > 0) rule.at = StopRule::At::kLineStart;
      rule.after_sentence = kind == 2;
      spec.rules.push_back(rule);
    }
    const std::string text = random_text(24);
    const std::string context = Described(spec, text);
    const Reference reference{spec, text};
    const Cut expected = reference.Result();
    if (expected.rule >= 0) ++n_fired;
    StopMatcher matcher(spec);
    std::string released;
    for (size_t at = 0; at < text.size() && matcher.fired_rule() < 0;) {
      const size_t n = std::min(pick(4), text.size() - at);
      matcher.Push(std::string_view(text).substr(at, n));
      at += n;
      if (pick(2) == 0) released += matcher.TakeReleased();
      if (matcher.fired_rule() < 0) CHECK_EQ_IN(matcher.released_bytes(), reference.Released(at), context);
    }
    matcher.Finish();
    released += matcher.TakeReleased();
    CHECK_EQ_IN((Cut{released, matcher.fired_rule()}), expected, context);
  }
  CHECK(n_fired > 10000);
}

TEST("rules of every kind together do not depend on how the text is cut") {
  std::mt19937 random(11);
  const StopSpec spec{{Dedent(1),
                       Heading("E"),
                       AfterSentence("A:"),
                       {"E", StopRule::At::kLineStart, true, true},
                       Anywhere("::"),
                       LineStart("E E"),
                       Anywhere("\n\n\n")}};
  const std::string alphabet = "EA2:. \n\n#@('\"\\x";
  for (int round = 0; round < 20000; ++round) {
    std::string text;
    for (size_t n = random() % 40; n > 0; --n) text += alphabet[random() % alphabet.size()];
    const Cut whole = Run(spec, {text});
    CHECK_EQ(whole.text, text.substr(0, whole.text.size()));
    if (whole.rule < 0) CHECK_EQ(whole.text, text);
    std::vector<std::string_view> pieces;
    for (size_t at = 0; at < text.size();) {
      const size_t n = random() % 3;
      pieces.push_back(std::string_view(text).substr(at, n));
      at += n;
    }
    CHECK_EQ_IN(Run(spec, pieces), whole, Shown(text));
  }
}

TEST("the time per byte does not grow with the text") {
  // Quadratic work over these texts takes hours, which the time limit of the test does not allow.
  const size_t length = 2000000;
  StopSpec spec{{Dedent(0)}};
  for (int i = 0; i < 26; ++i) spec.rules.push_back(Anywhere(std::string(1000, 'a') + static_cast<char>('A' + i)));
  std::string comments = "\n";
  while (comments.size() < length) comments += "# a\n";
  for (const std::string& text : {std::string(length, 'a'), std::string(length, '\n'), comments}) {
    StopMatcher matcher(spec);
    size_t n_taken = 0;
    for (const char c : text) {
      matcher.Push(std::string_view(&c, 1));
      n_taken += matcher.TakeReleased().size();
    }
    matcher.Finish();
    CHECK_EQ(n_taken + matcher.TakeReleased().size(), text.size());
  }
}

TEST("a matcher can be moved while it works") {
  StopMatcher first({{Anywhere("abc")}});
  CHECK(first.Push("xab"));
  StopMatcher second = std::move(first);
  CHECK(!second.Push("c"));
  CHECK_EQ(second.TakeReleased(), "x");
}

}  // namespace

TEST_MAIN()
