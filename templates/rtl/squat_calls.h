// The calls in which the golden sequences are fed.
#ifndef SQUAT_CALLS_H
#define SQUAT_CALLS_H

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "numbers.h"

typedef std::vector<unsigned char> Bytes;

inline std::uint32_t word_of(const Bytes& stimulus, const std::size_t at) {
    std::uint32_t word;
    std::memcpy(&word, &stimulus[at * 4], 4);
    return word;
}

// How many words have come when each sequence is complete.
inline std::vector<std::size_t> ends_of(const Bytes& stimulus) {
    std::vector<std::size_t> ends;
    for (std::size_t at = 1; at <= stimulus.size() / 4; ++at) {
        if (WORDS > 0 ? at % WORDS == 0 : word_of(stimulus, at - 1) == END_OF_EVENTS) {
            ends.push_back(at);
        }
    }
    return ends;
}

// Random numbers: none without a seed.
class Dice {
  public:
    explicit Dice(const unsigned seed) : state_(seed) {}
    unsigned next(const unsigned sides) {
        if (state_ == 0) {
            return sides - 1;
        }
        state_ = state_ * 1664525u + 1013904223u;
        return (state_ >> 16) % sides;
    }

  private:
    unsigned state_;
};

// One call of the core.
struct Call {
    std::size_t sequence;
    std::size_t steps;
    bool restart;
    std::size_t words;  // that have come when it is complete
};

// All calls, the words that they are fed, and which step of which sequence each of their steps is.
class Plan {
  public:
    std::vector<Call> calls;
    std::vector<std::uint32_t> words;
    std::vector<std::size_t> steps;  // sequence * STEPS + step

    Plan(const Bytes& stimulus, const std::vector<std::size_t>& ends, const unsigned seed) {
        Dice dice(seed);
        for (std::size_t sequence = 0; sequence < ends.size(); ++sequence) {
            const std::size_t from = sequence == 0 ? 0 : ends[sequence - 1];
            const unsigned most = unsigned(STEPS);
            if (seed > 0 && dice.next(2) == 0) {  // one that is cut off
                call(stimulus, from, ends[sequence], sequence, 0, 1 + dice.next(most));
            }
            const std::size_t part = seed > 0 && dice.next(2) == 0 ? 1 + dice.next(most) : STEPS;
            call(stimulus, from, ends[sequence], sequence, 0, part);
            if (part < STEPS) {
                call(stimulus, from, ends[sequence], sequence, part, STEPS - part);
            }
        }
    }

  private:
    void call(const Bytes& stimulus, std::size_t from, std::size_t to, const std::size_t sequence,
              const std::size_t first, const std::size_t count) {
        if (STEP_WORDS > 0) {
            from += first * STEP_WORDS;
            to = from + count * STEP_WORDS;
        } else if (first > 0) {
            to = from;
        }
        for (std::size_t at = from; at < to; ++at) {
            words.push_back(word_of(stimulus, at));
        }
        for (std::size_t step = first; step < first + count; ++step) {
            steps.push_back(sequence * STEPS + step);
        }
        calls.push_back(Call{sequence, count, first == 0, words.size()});
    }
};

#endif
