#include "core/python_block_scan.h"

namespace phi2 {

PythonBlockScan::PythonBlockScan(int dedent, bool at_line_start)
    : dedent_(static_cast<size_t>(dedent)), state_(at_line_start ? State::kIndent : State::kCode) {}

bool PythonBlockScan::Push(char c, size_t position) {
  switch (state_) {
    case State::kIndent:
      return Indent(c, position);
    case State::kCode:
      Code(c, position);
      break;
    case State::kComment:
      if (c == '\n') EndLine(position);
      break;
    case State::kBackslash:
      if (c == '\n') {
        state_ = State::kCode;
      } else if (c != '\r') {
        Code(c, position);
      }
      break;
    case State::kOneQuote:
      if (c == quote_) {
        state_ = State::kTwoQuotes;
      } else {
        state_ = State::kString;
        String(c, position);
      }
      break;
    case State::kTwoQuotes:
      if (c == quote_) {
        state_ = State::kTripleString;
        n_quotes_ = 0;
      } else {
        Code(c, position);
      }
      break;
    case State::kString:
      String(c, position);
      break;
    case State::kTripleString:
      TripleString(c);
      break;
  }
  return false;
}

size_t PythonBlockScan::Start() const {
  if (run_start_ != kNowhere) return run_start_;
  return state_ == State::kIndent ? line_start_ : kNowhere;
}

bool PythonBlockScan::Indent(char c, size_t position) {
  switch (c) {
    case ' ':
      ++column_;
      return false;
    case '\t':
      column_ = (column_ / 8 + 1) * 8;
      return false;
    case '\r':
    case '\f':
      return false;
    case '\n':
      EndLine(position);
      return false;
    default:
      break;
  }
  const bool is_low = column_ <= dedent_;
  const bool joins_next = c == '#' || c == '@';
  if (is_low && !joins_next) return true;
  if (!is_low) {
    run_start_ = kNowhere;
  } else if (run_start_ == kNowhere) {
    run_start_ = line_start_;
  }
  Code(c, position);
  return false;
}

void PythonBlockScan::Code(char c, size_t position) {
  state_ = State::kCode;
  switch (c) {
    case '\n':
      EndLine(position);
      break;
    case '#':
      state_ = State::kComment;
      break;
    case '\\':
      state_ = State::kBackslash;
      break;
    case '"':
    case '\'':
      quote_ = c;
      state_ = State::kOneQuote;
      break;
    case '(':
    case '[':
    case '{':
      ++depth_;
      break;
    case ')':
    case ']':
    case '}':
      if (depth_ > 0) --depth_;
      break;
    default:
      break;
  }
}

void PythonBlockScan::String(char c, size_t position) {
  if (Escaped(c)) return;
  if (c == quote_) {
    state_ = State::kCode;
  } else if (c == '\n') {
    EndLine(position);
  }
}

void PythonBlockScan::TripleString(char c) {
  if (Escaped(c) || c != quote_) {
    n_quotes_ = 0;
  } else if (++n_quotes_ == 3) {
    state_ = State::kCode;
  }
}

/// A backslash hides the next character in raw strings too; "\r\n" after it is one line break.
bool PythonBlockScan::Escaped(char c) {
  if (escaped_) {
    escaped_ = c == '\r';
    return true;
  }
  escaped_ = c == '\\';
  return escaped_;
}

void PythonBlockScan::EndLine(size_t position) {
  state_ = depth_ == 0 ? State::kIndent : State::kCode;
  line_start_ = position + 1;
  column_ = 0;
}

}  // namespace phi2
