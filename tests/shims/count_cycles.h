// Given to a native build with -include: the emitted C++ counts the cycles of its own loops, as its pragmas say.
//
//   pipeline II=n     n cycles an iteration
//   loop_flatten off  the loops inside are entered anew in every iteration; else nested loops count as one
//   unroll            no cycles; neither takes what is called or looped in a pipelined loop
//   dataflow          a time step begins, or a call of as many as its loops over all steps have
//
// A loop that is entered costs SQUAT_LOOP_OVERHEAD, also if it has nothing to do; one over all time steps (SQUAT_HLS_OF)
// costs its iterations alone, each in its step, since it is entered once a call. What is in no loop costs nothing.
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

// Cycles of one function in a time step of this call.
struct Row {
    const char* file;
    const char* function;
    unsigned step;
    unsigned long long cycles;
};

struct Rows {
    Row all[16384];  // no container: its code would be compiled into every file of every project
    unsigned used;
    unsigned before;   // steps of earlier calls
    unsigned in_call;  // of this one

    COUNT_COLD Row* of(const char* file, const char* function, const unsigned step) {
        in_call = in_call > 0 && step >= in_call ? step + 1 : in_call;
        for (Row* row = all; row != all + used; ++row) {
            if (row->file == file && row->function == function && row->step == step) {
                return row;
            }
        }
        if (used == 16384) {
            std::abort();
        }
        all[used] = Row{file, function, step, 0};
        return &all[used++];
    }
    // Of loops that are entered once a call: in its first step, or in its last one after a loop over all steps.
    COUNT_COLD Row* last_of(const char* file, const char* function) {
        unsigned step = 0;
        for (const Row* row = all; row != all + used; ++row) {
            if (row->file == file && row->function == function && row->cycles > 0 && row->step > step) {
                step = row->step;
            }
        }
        return of(file, function, step);
    }
    COUNT_COLD void next_call() {
        static std::FILE* const out = std::fopen(std::getenv("SQUAT_CYCLES"), "w");
        for (Row* row = all; row != all + used; ++row) {
            if (in_call > 0 && row->cycles > 0) {
                std::fprintf(out, "%u %s %s %llu\n", before + row->step, row->file, row->function, row->cycles);
            }
            row->cycles = 0;
        }
        before += in_call;
        in_call = 1;
    }
    ~Rows() { next_call(); }
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
        free_ = around_ != nullptr && (around_->pipelined_ || around_->free_);
        row_ = free_ ? nullptr : nested ? around_->row_ : rows().last_of(file, function);
        file_ = file;
        entry_ = nested && around_->flat_ ? 0 : SQUAT_LOOP_OVERHEAD;
        function_ = function;
    }
    Loop(const Loop&) = delete;
    COUNT_COLD ~Loop() {
        innermost() = around_;
        if (!free_) {
            row_->cycles += entry_ + cycles_;
        }
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
    // An iteration of a loop over all steps.
    void works_for(const unsigned step, const unsigned interval) {
        if (!pipelined_ || row_->step != step) {
            row_ = rows().of(file_, function_, step);
        }
        pipelined_ = true;
        entry_ = 0;
        row_->cycles += interval;
    }
    void keep_apart() { flat_ = false; }
    void costs_nothing() { free_ = true; }
    static void begins_steps(Loop* const loop) {
        if (loop != nullptr) {
            loop->entry_ = 0;
        }
        rows().next_call();
    }

  private:
    Loop* around_;  // in this function, or where it was called
    Row* row_;
    const char* file_;
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
        Loop::begins_steps(loop);
    }  // the others say nothing about cycles
}

COUNT_COLD inline void obey_for(const unsigned step, const char* pragma) {
    Loop::innermost()->works_for(step, static_cast<unsigned>(std::atoi(pragma + 12)));
}

}  // namespace count_cycles

#define SQUAT_HLS_OF(step, text) count_cycles::obey_for(step, #text);
#define SQUAT_HLS(text) count_cycles::obey(#text);
#define for if (count_cycles::Loop squat_loop{__FILE__, __func__}) {} else for
#define while if (count_cycles::Loop squat_loop{__FILE__, __func__}) {} else while

#endif
