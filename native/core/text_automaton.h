#pragma once

#include <array>
#include <cstddef>
#include <vector>

#include "core/stop_rule.h"

namespace phi2 {

/// Finds the texts of stop rules: Aho-Corasick over the bytes and one more symbol, "a line begins", which is fed after
/// every '\n' and, if the stream begins with a line, before the first byte. Line-start rules begin with that symbol, so
/// one automaton serves both kinds, rules that contain line breaks included. Dedent rules take no part.
class TextAutomaton {
 public:
  static constexpr int kLineBegin = 256;

  explicit TextAutomaton(const std::vector<StopRule>& rules);

  /// Takes a byte (0–255) or kLineBegin.
  void Push(int symbol);

  /// Calls visit(rule, length in bytes) for every rule that ends here, longest first.
  template <typename Visit>
  void ForEachMatch(Visit visit) const {
    int node = nodes_[state_].first_rule >= 0 ? state_ : nodes_[state_].next_match;
    for (; node != kRoot; node = nodes_[node].next_match) {
      for (int rule = nodes_[node].first_rule; rule >= 0; rule = next_with_same_text_[rule]) {
        visit(rule, nodes_[node].n_bytes);
      }
    }
  }

  /// Length of the longest suffix of the stream that begins a rule; of the unconditional rules only, until the others
  /// are armed.
  size_t Held(bool armed) const { return nodes_[armed ? state_ : nodes_[state_].unconditional].n_bytes; }

 private:
  static constexpr int kRoot = 0;
  static constexpr int kNone = -1;

  struct Node {
    int symbol = 0;
    int first_child = kNone;
    int next_sibling = kNone;   // a node has at most as many children as there are rules
    int fail = kRoot;           // the longest proper suffix that is a node
    int next_match = kRoot;     // the nearest node along `fail` where a rule ends
    int unconditional = kRoot;  // this node or the nearest along `fail` that begins an unconditional rule
    int first_rule = -1;
    size_t n_bytes = 0;
    bool begins_unconditional = false;
  };

  void Add(const StopRule& rule, int index);
  void Link();
  int Child(int node, int symbol) const;
  int ChildOrNew(int parent, int symbol);

  std::vector<Node> nodes_;
  std::array<int, 257> root_children_;
  std::vector<int> next_with_same_text_;
  int state_ = kRoot;
};

}  // namespace phi2
