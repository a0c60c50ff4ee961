#include "core/speculator.h"

#include <algorithm>
#include <cmath>

namespace phi2 {
namespace {

// A step that can be cut when somebody else comes, but what it has computed until then is lost.
constexpr double kLongStepMs = 1000;

// A model that writes ahead further than this is seldom right.
constexpr size_t kLongestModelDraft = 16;
// It has to read at most so many tokens before it is asked.
constexpr size_t kMostMissing = 32;
// So many right guesses it is believed to have made before the first.
constexpr size_t kModelCredit = 8;
// Where asking it did not pay, it is tried again after so many tokens as if it were as good as this.
constexpr size_t kTrialAfter = 32;
constexpr double kTrialAcceptance = 0.85;

/// Of the usual shape. Where a text must be the same again, measured times must not decide about the size of steps:
/// rounding depends on it.
const StepCost& NominalCost() {
  static const StepCost nominal = [] {
    StepCost cost;
    for (const auto& [n, ms] : {std::pair{1, 50.0}, {2, 75.0}, {4, 120.0}, {8, 200.0}, {16, 300.0}, {64, 1000.0}}) {
      cost.Add(static_cast<size_t>(n), ms);
    }
    return cost;
  }();
  return nominal;
}

}  // namespace

void Speculator::Draft(const std::vector<std::shared_ptr<Sequence>>& active, const StepCost& measured) {
  StepOutlook outlook = {0, 0, 0, limits_.can_abort ? kLongStepMs : kShortStepMs};
  std::vector<Candidate> candidates;
  bool others_read = false;
  for (const auto& sequence : active) {
    sequence->draft.clear();
    if (sequence->paused() || sequence->ended) continue;
    ++outlook.n_sequences;
    const size_t n_pending = sequence->tokens().size() - sequence->n_past;
    if (n_pending > 1) {
      others_read = true;
      if (uses_model(*sequence)) model_->Read(sequence->seq_id, sequence->tokens(), ReadBudget(*sequence));
      continue;
    }
    ++outlook.n_tokens;
    if (sequence->spec().speculate == Speculate::kNone || sequence->max_draft() == 0) continue;
    candidates.push_back({sequence.get(), &states_[sequence->id()]});
    Settle(candidates.back());
  }
  if (candidates.empty()) return;
  const bool nominal = active.size() == 1 && active.front()->spec().reproducible;
  const StepCost& cost = nominal ? NominalCost() : measured;
  size_t room = limits_.n_outputs - std::min(limits_.n_outputs, outlook.n_tokens);

  // Drafts of a given length come first; the others are chosen beside them, but not while somebody waits for the first
  // token of an answer.
  std::vector<Candidate*> open;
  for (Candidate& candidate : candidates) {
    const auto given = static_cast<size_t>(candidate.sequence->spec().n_draft);
    if (given == 0) {
      if (!others_read) open.push_back(&candidate);
      continue;
    }
    candidate.length = std::min({given, candidate.sequence->max_draft(), room});
    room -= candidate.length;
    outlook.n_tokens += candidate.length;
  }
  outlook.max_tokens = std::min(limits_.n_batch, outlook.n_tokens + room);
  std::vector<DraftOffer> offers;
  for (const Candidate* candidate : open) offers.push_back(Offer(*candidate, cost.Ms(outlook.n_tokens), nominal));
  const std::vector<size_t> lengths = ChooseDraftLengths(offers, outlook, cost);
  for (size_t i = 0; i < open.size(); ++i) open[i]->length = lengths[i];
  Guess(candidates, outlook, cost, nominal);
}

/// A text that must be the same again is read in steps of the same size.
size_t Speculator::ReadBudget(const Sequence& sequence) const {
  if (sequence.spec().reproducible) return limits_.n_batch;
  return std::max<size_t>(1, model_->cost().TokensWithin(kShortStepMs, limits_.n_batch));
}

double Speculator::GuessMs(bool nominal) const {
  return nominal ? NominalCost().Ms(1) * model_->relative_size() : model_->cost().Ms(1);
}

/// What came of the last step.
void Speculator::Settle(Candidate& candidate) const {
  const Sequence& sequence = *candidate.sequence;
  State& state = *candidate.state;
  const size_t n_drafted = sequence.drafts().n_drafted - state.settled.n_drafted;
  const size_t n_accepted = sequence.drafts().n_accepted - state.settled.n_accepted;
  state.settled = sequence.drafts();
  // The draft may have had no place in the step, or the step was cut.
  const double extra_ms = state.guess_ms + state.token_ms * static_cast<double>(n_drafted);
  if (state.step_ms > 0) state.ledger.Settle(state.step_ms, extra_ms, n_accepted);
  state.step_ms = 0;
  if (uses_model(sequence)) {
    for (size_t i = 0; i < std::min(n_accepted + 1, n_drafted); ++i) {
      state.acceptance.Record(state.confidences[i], i < n_accepted);
    }
    state.run = n_accepted < n_drafted ? 0 : state.run + n_accepted;
  } else {
    const std::vector<llama_token>& tokens = sequence.tokens();
    while (state.copies.size() < tokens.size()) state.copies.Push(tokens[state.copies.size()]);
  }
}

DraftOffer Speculator::Offer(const Candidate& candidate, double step_ms, bool nominal) const {
  const Sequence& sequence = *candidate.sequence;
  const State& state = *candidate.state;
  DraftOffer offer;
  if (uses_model(sequence)) {
    const bool on_trial = sequence.tokens().size() >= state.drafted_at + kTrialAfter;
    const double right = std::max(state.acceptance.Average(), on_trial ? kTrialAcceptance : 0);
    for (size_t i = 1; i <= std::min(sequence.max_draft(), kLongestModelDraft); ++i) {
      offer.survival.push_back(std::pow(right, i));
    }
    offer.max_loss_ms = state.ledger.Stake(step_ms, kModelCredit + state.run);
    offer.guess_ms = GuessMs(nominal);
  } else {
    const size_t n_generated = sequence.tokens().size() - sequence.n_prompt();
    offer.survival = state.copies.Survival(std::min(sequence.max_draft(), limits_.n_outputs));
    offer.max_loss_ms = state.ledger.Stake(step_ms, std::min(state.copies.run(), n_generated));
  }
  return offer;
}

void Speculator::Guess(std::vector<Candidate>& candidates, const StepOutlook& outlook, const StepCost& cost,
                       bool nominal) {
  size_t n_drafted = 0;
  for (const Candidate& candidate : candidates) {
    if (candidate.sequence->spec().n_draft == 0) n_drafted += candidate.length;
  }
  const double step_ms = cost.Ms(outlook.n_tokens);
  const double token_ms =
      n_drafted == 0 ? 0 : (cost.Ms(outlook.n_tokens + n_drafted) - step_ms) / static_cast<double>(n_drafted);
  std::vector<DraftModel::Draft> drafts;
  std::vector<Candidate*> asking;
  for (Candidate& candidate : candidates) {
    Sequence& sequence = *candidate.sequence;
    State& state = *candidate.state;
    state.step_ms = step_ms;
    state.token_ms = token_ms;
    state.guess_ms = 0;
    if (candidate.length == 0) continue;
    if (!uses_model(sequence)) {
      if (state.copies.has_guess()) sequence.draft = state.copies.Guess(candidate.length);
    } else if (model_->Missing(sequence.seq_id, sequence.tokens()) > kMostMissing) {
      model_->Read(sequence.seq_id, sequence.tokens(), ReadBudget(sequence));
    } else {
      const bool given = sequence.spec().n_draft > 0;
      const double least = step_ms > 0 ? (token_ms + GuessMs(nominal)) / step_ms : 0;
      DraftModel::Draft draft;
      draft.slot = sequence.seq_id;
      draft.tokens = &sequence.tokens();
      draft.n_max = candidate.length;
      draft.least = given ? 0 : least;
      draft.acceptance = &state.acceptance;
      drafts.push_back(std::move(draft));
      asking.push_back(&candidate);
    }
  }
  if (drafts.empty()) return;
  model_->Guess(drafts);
  for (size_t i = 0; i < drafts.size(); ++i) {
    State& state = *asking[i]->state;
    asking[i]->sequence->draft = std::move(drafts[i].guesses);
    state.confidences = std::move(drafts[i].confidences);
    state.drafted_at = asking[i]->sequence->tokens().size();
    state.guess_ms = GuessMs(nominal) * static_cast<double>(state.confidences.size());
  }
}

}  // namespace phi2
