#include "core/text_automaton.h"

#include <cstdint>

namespace phi2 {

TextAutomaton::TextAutomaton(const std::vector<StopRule>& rules) : next_with_same_text_(rules.size(), -1) {
  root_children_.fill(kNone);
  nodes_.emplace_back();
  // Backwards, so that the list of rules with the same text ends up in ascending order.
  for (size_t i = rules.size(); i-- > 0;) {
    if (rules[i].dedent < 0 && !rules[i].text.empty()) Add(rules[i], static_cast<int>(i));
  }
  Link();
}

void TextAutomaton::Push(int symbol) {
  int child;
  while ((child = Child(state_, symbol)) == kNone && state_ != kRoot) state_ = nodes_[state_].fail;
  state_ = child == kNone ? kRoot : child;
}

void TextAutomaton::Add(const StopRule& rule, int index) {
  const bool at_line_start = rule.at == StopRule::At::kLineStart;
  int node = kRoot;
  const auto step = [&](int symbol) {
    node = ChildOrNew(node, symbol);
    nodes_[node].begins_unconditional |= !(at_line_start && rule.after_sentence);
  };
  if (at_line_start) step(kLineBegin);
  for (size_t i = 0; i < rule.text.size(); ++i) {
    step(static_cast<uint8_t>(rule.text[i]));
    if (rule.text[i] == '\n' && i + 1 < rule.text.size()) step(kLineBegin);
  }
  next_with_same_text_[index] = nodes_[node].first_rule;
  nodes_[node].first_rule = index;
}

/// Fills the links, breadth first: all shorter nodes are done when a node's turn comes.
void TextAutomaton::Link() {
  std::vector<int> queue;
  queue.reserve(nodes_.size());
  queue.push_back(kRoot);
  for (size_t i = 0; i < queue.size(); ++i) {
    const int parent = queue[i];
    for (int child = nodes_[parent].first_child; child != kNone; child = nodes_[child].next_sibling) {
      Node& node = nodes_[child];
      if (parent != kRoot) {
        state_ = nodes_[parent].fail;
        Push(node.symbol);
        node.fail = state_;
      }
      const Node& suffix = nodes_[node.fail];
      node.next_match = suffix.first_rule >= 0 ? node.fail : suffix.next_match;
      node.unconditional = node.begins_unconditional ? child : suffix.unconditional;
      queue.push_back(child);
    }
  }
  state_ = kRoot;
}

int TextAutomaton::Child(int node, int symbol) const {
  if (node == kRoot) return root_children_[symbol];
  int child = nodes_[node].first_child;
  while (child != kNone && nodes_[child].symbol != symbol) child = nodes_[child].next_sibling;
  return child;
}

int TextAutomaton::ChildOrNew(int parent, int symbol) {
  int child = Child(parent, symbol);
  if (child != kNone) return child;
  child = static_cast<int>(nodes_.size());
  Node node;
  node.symbol = symbol;
  node.next_sibling = nodes_[parent].first_child;
  node.n_bytes = nodes_[parent].n_bytes + (symbol == kLineBegin ? 0 : 1);
  nodes_.push_back(node);
  nodes_[parent].first_child = child;
  if (parent == kRoot) root_children_[symbol] = child;
  return child;
}

}  // namespace phi2
