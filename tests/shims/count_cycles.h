// Given to a native build with -include: the emitted C++ counts the cycles of its own loops, as its pragmas say.
//
//   pipeline II=n     n cycles an iteration
//   loop_flatten off  the loops inside are entered anew in every iteration; else nested loops count as one
//   unroll            no cycles; neither takes what is called or looped in a pipelined loop
//   dataflow          a time step begins
//
// A loop that is entered costs SQUAT_LOOP_OVERHEAD, also if it has nothing to do. What is in no loop costs nothing.
// $SQUAT_CYCLES gets a line a time step and function with loops: number of the step, file, function, cycles.
#ifndef COUNT_CYCLES_H
#define COUNT_CYCLES_H

// What the emitted files include comes first, since `for` and `while` are macros below.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <deque>

#define COUNT_COLD __attribute__((noinline, cold))  // compiles faster

namespace count_cycles {

// Cycles of one function in this time step.
struct Row {
    const char* file;
    const char* function;
    unsigned long long cycles;
};

struct Rows {
    Row all[1024];  // no container: its code would be compiled into every file of every project
    unsigned used;
    unsigned steps;

    COUNT_COLD Row* of(const char* file, const char* function) {
        for (Row* row = all; row != all + used; ++row) {
            if (row->file == file && row->function == function) {
                return row;
            }
        }
        if (used == 1024) {
            std::abort();
        }
        all[used] = Row{file, function, 0};
        return &all[used++];
    }
    COUNT_COLD void next_step() {
        static std::FILE* const out = std::fopen(std::getenv("SQUAT_CYCLES"), "w");
        for (Row* row = all; row != all + used; ++row) {
            if (steps > 0 && row->cycles > 0) {
                std::fprintf(out, "%u %s %s %llu\n", steps - 1, row->file, row->function, row->cycles);
            }
            row->cycles = 0;
        }
        ++steps;
    }
    ~Rows() { next_step(); }
};

inline Rows& rows() {
    static Rows found;
    return found;
}

// Lives as long as one run of a loop.
class Loop {
  public:
    COUNT_COLD Loop(const char* file, const char* function) : around_(innermost()) {
        innermost() = this;
        const bool nested = around_ != nullptr && around_->function_ == function;
        row_ = nested ? around_->row_ : rows().of(file, function);
        free_ = around_ != nullptr && (around_->pipelined_ || around_->free_);
        entry_ = nested && around_->flat_ ? 0 : SQUAT_LOOP_OVERHEAD;
        function_ = function;
    }
    Loop(const Loop&) = delete;
    COUNT_COLD ~Loop() {
        innermost() = around_;
        row_->cycles += free_ ? 0 : entry_ + cycles_;
    }
    explicit operator bool() const { return false; }

    static Loop*& innermost() {
        static Loop* loop = nullptr;
        return loop;
    }

    void pipelined(const unsigned interval) {
        pipelined_ = true;
        cycles_ += interval;
    }
    void keep_apart() { flat_ = false; }
    void costs_nothing() { free_ = true; }
    void begins_steps() {
        entry_ = 0;
        rows().next_step();
    }

  private:
    Loop* around_;  // in this function, or where it was called
    Row* row_;
    const char* function_;
    unsigned long long cycles_ = 0;
    unsigned entry_;
    bool pipelined_ = false;
    bool flat_ = true;
    bool free_;
};

COUNT_COLD inline void obey(const char* pragma) {
    Loop* const loop = Loop::innermost();
    if (std::strncmp(pragma, "pipeline II=", 12) == 0) {
        loop->pipelined(static_cast<unsigned>(std::atoi(pragma + 12)));
    } else if (std::strcmp(pragma, "loop_flatten off") == 0) {
        loop->keep_apart();
    } else if (std::strcmp(pragma, "unroll") == 0) {
        loop->costs_nothing();
    } else if (std::strcmp(pragma, "dataflow") == 0) {
        loop->begins_steps();
    }  // the others say nothing about cycles
}

}  // namespace count_cycles

#define SQUAT_HLS(text) count_cycles::obey(#text);
#define for if (count_cycles::Loop squat_loop{__FILE__, __func__}) {} else for
#define while if (count_cycles::Loop squat_loop{__FILE__, __func__}) {} else while

#endif
