// The golden sequences through `squat_axi`, as a processor and a DMA would do it, with random delays in every channel.
//
//   axi_tb [--seed SEED]
//
// Compares every score, and what the registers say; watches the rules of AXI. Exit code: 0 same, 1 differs, 2 no data.
#include <cstdio>
#include <cstdlib>
#include <string>

#include "Vsquat_axi.h"
#include "calls.h"
#include "verilated.h"

namespace {

// Registers by their addresses, their bits, and responses.
const unsigned CONTROL = 0x00, STATUS = 0x04, LENGTH = 0x08, CALLS = 0x0c, LOW = 0x10, HIGH = 0x14, KIND = 0x20;
const unsigned NAME = 0x40;
const unsigned START = 1, RESTART = 2, RESET = 4, READY = 1, BUSY = 2;
const unsigned OKAY = 0, SLVERR = 2;

Bytes read_file(const char* const path) {
    Bytes content;
    std::FILE* const file = std::fopen(path, "rb");
    if (file == nullptr) {
        std::printf("ERROR: cannot read %s\n", path);
        std::exit(2);
    }
    unsigned char part[65536];
    for (std::size_t count; (count = std::fread(part, 1, sizeof part, file)) > 0;) {
        content.insert(content.end(), part, part + count);
    }
    std::fclose(file);
    return content;
}

// A response, and the word of a read.
struct Answer {
    unsigned response;
    std::uint32_t word;
};

class Bench {
  public:
    std::vector<std::uint32_t> feed;    // words that the DMA sends; it goes on at `fed`
    std::size_t fed = 0;
    std::vector<std::uint32_t> scores;  // that it got
    std::size_t faults = 0;
    bool flows = true;                  // the streams move

    explicit Bench(const unsigned seed) : core_(&context_), dice_(seed) {
        core_.aclk = core_.aresetn = 0;
        quiet();
        for (unsigned cycle = 0; cycle < 4; ++cycle) {
            turn();
        }
        core_.aresetn = 1;
    }
    ~Bench() { core_.final(); }

    unsigned write(const unsigned address, const std::uint32_t data, const unsigned strobes = 15) {
        bool address_due = true;
        bool data_due = true;
        bool early = false;  // a response before all of the write
        for (unsigned cycle = 0; cycle < PATIENCE; ++cycle) {
            core_.s_axi_awvalid = address_due && (core_.s_axi_awvalid || dice_.next(3) != 0);
            core_.s_axi_wvalid = data_due && (core_.s_axi_wvalid || dice_.next(3) != 0);
            core_.s_axi_awaddr = core_.s_axi_awvalid ? address : dice_.next(256);
            core_.s_axi_wdata = core_.s_axi_wvalid ? data : dice_.next(65536);
            core_.s_axi_wstrb = core_.s_axi_wvalid ? strobes : dice_.next(16);
            core_.s_axi_bready = dice_.next(3) != 0;
            begin();
            const bool done = core_.s_axi_bvalid && core_.s_axi_bready;
            const unsigned response = core_.s_axi_bresp;
            early = early || (core_.s_axi_bvalid && (address_due || data_due));
            address_due = address_due && !(core_.s_axi_awvalid && core_.s_axi_awready);
            data_due = data_due && !(core_.s_axi_wvalid && core_.s_axi_wready);
            end();
            if (!address_due) {
                core_.s_axi_awvalid = 0;
            }
            if (!data_due) {
                core_.s_axi_wvalid = 0;
            }
            if (done) {
                expect(!early, "a response before the write", address, response);
                return response;
            }
        }
        expect(false, "no response to a write", address, 0);
        return SLVERR + 2;
    }

    Answer read(const unsigned address) {
        bool due = true;
        for (unsigned cycle = 0; cycle < PATIENCE; ++cycle) {
            core_.s_axi_arvalid = due && (core_.s_axi_arvalid || dice_.next(3) != 0);
            core_.s_axi_araddr = core_.s_axi_arvalid ? address : dice_.next(256);
            core_.s_axi_rready = dice_.next(3) != 0;
            begin();
            const bool done = core_.s_axi_rvalid && core_.s_axi_rready;
            const Answer answer = {core_.s_axi_rresp, core_.s_axi_rdata};
            expect(!(core_.s_axi_rvalid && due), "a word before the read", address, answer.word);
            due = due && !(core_.s_axi_arvalid && core_.s_axi_arready);
            end();
            if (!due) {
                core_.s_axi_arvalid = 0;
            }
            if (done) {
                return answer;
            }
        }
        expect(false, "no response to a read", address, 0);
        return Answer{SLVERR + 2, 0};
    }

    void written(const unsigned address, const std::uint32_t data, const unsigned response,
                 const unsigned strobes = 15) {
        const unsigned got = write(address, data, strobes);
        expect(got == response, "response to a write", address, got);
    }

    void reads(const unsigned address, const std::uint32_t word, const unsigned response = OKAY) {
        const Answer got = read(address);
        expect(got.response == response, "response to a read", address, got.response);
        expect(got.word == word, "word", address, got.word);
    }

    void wait(const unsigned mask, const unsigned wanted) {
        for (unsigned tries = 0; tries < PATIENCE; ++tries) {
            if ((read(STATUS).word & mask) == wanted) {
                return;
            }
        }
        expect(false, "STATUS stays", STATUS, read(STATUS).word);
    }

    void expect(const bool holds, const char* const what, const unsigned address, const std::uint32_t got) {
        if (!holds && faults++ == 0) {
            std::printf("FIRST DIFFERENCE: %s, address %02x: got %x\n", what, address, got);
        }
    }

  private:
    static const unsigned PATIENCE = 1000000;

    void quiet() {
        core_.s_axi_awvalid = core_.s_axi_wvalid = core_.s_axi_bready = core_.s_axi_arvalid = core_.s_axi_rready = 0;
        core_.s_axis_tvalid = core_.m_axis_tready = 0;
    }

    // Inputs of a cycle are there: what comes of them, and the other inputs.
    void begin() {
        core_.s_axis_tvalid = flows && fed < feed.size() && (core_.s_axis_tvalid || dice_.next(4) != 0);
        if (core_.s_axis_tvalid) {
            core_.s_axis_tdata = feed[fed];
        }
        core_.m_axis_tready = flows && dice_.next(4) != 0;
        core_.eval();
        steady();
        const bool sends = core_.s_axis_tvalid && core_.s_axis_tready;
        if (core_.m_axis_tvalid && core_.m_axis_tready) {
            scores.push_back(core_.m_axis_tdata);
            const bool last = scores.size() % (OUTPUTS * SCORE_WORDS) == 0;
            expect(last == bool(core_.m_axis_tlast), "tlast", 0, static_cast<std::uint32_t>(scores.size()));
        }
        fed += sends;
        sent_ = sends;
    }

    void end() {
        turn();
        if (sent_) {
            core_.s_axis_tvalid = 0;
        }
        sent_ = false;
    }

    // What was offered and not taken is still there.
    void steady() {
        if (write_waits_) {
            expect(core_.s_axi_bvalid && core_.s_axi_bresp == response_, "a response that goes away", 0, 0);
        }
        if (read_waits_) {
            expect(core_.s_axi_rvalid && core_.s_axi_rdata == word_, "a word that goes away", 0, 0);
        }
        write_waits_ = core_.s_axi_bvalid && !core_.s_axi_bready;
        read_waits_ = core_.s_axi_rvalid && !core_.s_axi_rready;
        response_ = core_.s_axi_bresp;
        word_ = core_.s_axi_rdata;
    }

    void turn() {
        core_.eval();
        core_.aclk = 1;
        core_.eval();
        core_.aclk = 0;
    }

    VerilatedContext context_;
    Vsquat_axi core_;
    Dice dice_;
    bool sent_ = false;
    bool write_waits_ = false;
    bool read_waits_ = false;
    unsigned response_ = 0;
    std::uint32_t word_ = 0;
};

void check_registers(Bench& bench) {
    for (unsigned part = 0; part < 8; ++part) {
        bench.reads(NAME + 4 * part, DIGEST[part]);
    }
    bench.reads(KIND, 0x53510001u);
    bench.reads(LENGTH, STEPS);
    bench.reads(STATUS, READY);
    bench.reads(CONTROL, 0);
    for (const unsigned address : {0x18u, 0x1cu, 0x24u, 0x3cu, 0x60u, 0xfcu}) {
        bench.reads(address, 0, SLVERR);
        bench.written(address, 1, SLVERR);
    }
    for (const unsigned address : {STATUS, CALLS, LOW, HIGH, KIND, NAME}) {
        bench.written(address, ~0u, SLVERR);
    }
    bench.written(LENGTH, 0x04030201u, OKAY);
    bench.written(LENGTH, 0xddccbbaau, OKAY, 0x5);
    bench.reads(LENGTH, 0x04cc02aau);
    bench.written(LENGTH, 0, OKAY);
    bench.written(CONTROL, START | RESTART, SLVERR);  // no steps
    bench.written(CONTROL, START | RESTART, OKAY, 0xe);  // nothing is written
    bench.reads(STATUS, READY);
}

// A call in whose midst all is reset, while the streams stand still.
void check_reset(Bench& bench, const Plan& plan) {
    bench.written(LENGTH, static_cast<std::uint32_t>(plan.calls[0].steps), OKAY);
    bench.written(CONTROL, START | RESTART, OKAY);
    bench.wait(READY, READY);                        // the core has no words yet:
    bench.written(CONTROL, START | RESTART, OKAY);   // one call waits for it,
    bench.written(CONTROL, START, SLVERR);           // and there is room for no other
    bench.reads(STATUS, BUSY);
    const std::size_t half = (plan.calls[0].words + 1) / 2;
    bench.feed.assign(plan.words.begin(), plan.words.begin() + static_cast<std::ptrdiff_t>(half));
    for (unsigned tries = 0; bench.fed < half && tries < 1000; ++tries) {
        bench.wait(BUSY, BUSY);
    }
    bench.flows = false;
    bench.written(CONTROL, START | RESET, OKAY);
    bench.reads(STATUS, READY);
    bench.reads(CALLS, 0);
    bench.reads(LOW, 0);
    bench.reads(HIGH, 0);
    bench.flows = true;
    bench.feed.clear();
    bench.fed = 0;
    bench.scores.clear();
}

void run(Bench& bench, const Plan& plan) {
    for (std::size_t at = 0; at < plan.calls.size(); ++at) {
        const Call& call = plan.calls[at];
        bench.wait(READY, READY);
        bench.written(LENGTH, static_cast<std::uint32_t>(call.steps), OKAY);
        bench.written(CONTROL, START | (call.restart ? RESTART : 0u), OKAY);
        bench.feed.assign(plan.words.begin(), plan.words.begin() + static_cast<std::ptrdiff_t>(call.words));
    }
    bench.wait(BUSY, 0);
    bench.reads(CALLS, static_cast<std::uint32_t>(plan.calls.size()));
    bench.expect(bench.read(LOW).word > 0, "CYCLES", LOW, 0);
    bench.reads(HIGH, 0);
    bench.expect(bench.fed == plan.words.size(), "words that were taken", 0, static_cast<std::uint32_t>(bench.fed));
}

std::uint32_t word_at(const Bytes& bytes, const std::size_t at) {
    std::uint32_t word = 0;
    for (unsigned byte = 0; byte < 4; ++byte) {
        word |= static_cast<std::uint32_t>(bytes[at + byte]) << (8 * byte);
    }
    return word;
}

// Scores of each sequence's last call with those of its golden record.
std::size_t compare(Bench& bench, const Plan& plan, const Bytes& golden) {
    const std::size_t words = OUTPUTS * SCORE_WORDS;
    const std::size_t record = STEPS * NEURONS * (STATE_BYTES + 1) + words * 4;
    std::size_t compared = 0;
    bench.expect(bench.scores.size() == plan.calls.size() * words, "scores in all", 0, unsigned(bench.scores.size()));
    for (std::size_t at = 0; at < plan.calls.size(); ++at) {
        const bool ends = at + 1 == plan.calls.size() || plan.calls[at + 1].sequence != plan.calls[at].sequence;
        for (std::size_t word = 0; ends && word < words && at * words + word < bench.scores.size(); ++word) {
            const std::size_t place = (plan.calls[at].sequence + 1) * record - words * 4 + word * 4;
            const std::uint32_t got = bench.scores[at * words + word];
            bench.expect(got == word_at(golden, place), "score of a sequence", unsigned(plan.calls[at].sequence), got);
            ++compared;
        }
    }
    return compared;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 1 && (argc != 3 || std::string(argv[1]) != "--seed")) {
        std::printf("ERROR: axi_tb [--seed SEED]\n");
        return 2;
    }
    const unsigned seed = argc == 3 ? static_cast<unsigned>(std::atoi(argv[2])) : 0;
    const Bytes stimulus = read_file("tb/stimulus.bin");
    const Bytes golden = read_file("tb/golden.bin");
    const Plan plan(stimulus, ends_of(stimulus), seed);
    Bench bench(seed);
    check_registers(bench);
    check_reset(bench, plan);
    run(bench, plan);
    const std::size_t compared = compare(bench, plan, golden);
    std::printf("%s: %zu faults, %zu words of scores compared, %zu calls\n", bench.faults == 0 ? "PASS" : "FAIL",
                bench.faults, compared, plan.calls.size());
    return bench.faults == 0 ? 0 : 1;
}
