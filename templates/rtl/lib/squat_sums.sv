// Sums of a step, a page of ROWS rows of PE, filled by additions and then read by READERS, each by a port of its own.
//
// Pages are doubled: while one is read, the next step is added up. Whoever fills says `claim` when a step begins, which
// takes a page that is `free`; the first addition to a row replaces what it held by the start value plus the numbers, so
// that nothing is ever cleared. A page is full after `add_end`, and is given back when all readers have said `out_done`.
// With HELD there is one page, that stays over the steps of a sequence: `add_again` presents it once more.
// A row is read, added to and written within a cycle, so that it may come again in the next; with APART there are registers
// between. Reading takes READ cycles in which `out_read` is high: `out_sums` are those of `out_row` so many of them before.
// Readers count in rows of VIEW sums, so that few neuron units can serve many lanes.
// One row of its own is registers: a second one takes the sums of a step when they are complete and nobody reads it.
`default_nettype none

module squat_sums #(
    parameter int PE = 1,
    parameter int ROWS = 1,
    parameter int SUM = 12,     // bits of a sum
    parameter bit HELD = 1'b0,
    parameter int APART = 0,    // cycles between two additions to a row, at least: 0, 1, or 3, where sums are in block RAM
    parameter int READERS = 1,
    parameter int VIEW = PE,    // sums that are read at once: PE / VIEW parts a row, a power of two if there are ROWS
    parameter int VIEWS = ROWS, // of these
    parameter int READ = 1,     // cycles of reading: one to choose a row, or two of many parts, and one more with block RAM
    parameter int FLAGS = 2,
    parameter     START = ""    // file of start values: ROWS rows of PE sums
) (
    input  wire logic                      clk,
    input  wire logic                      rst,
    output      logic                      free,
    input  wire logic                      claim,
    input  wire logic                      add,
    input  wire logic                      add_first,
    input  wire logic                      add_again,
    input  wire logic                      add_end,
    input  wire logic [FLAGS-1:0]          add_flags,
    input  wire logic [ROW-1:0]            add_row,
    input  wire logic [PE*SUM-1:0]         add_numbers,
    output      logic [READERS-1:0]        out_full,
    output      logic [READERS*FLAGS-1:0]  out_flags,
    input  wire logic [READERS*SEEN-1:0]   out_row,
    input  wire logic [READERS-1:0]        out_read,
    output      logic [READERS*VIEW*SUM-1:0] out_sums,
    input  wire logic [READERS-1:0]        out_done
);
    localparam int ROW = ROWS > 1 ? $clog2(ROWS) : 1;
    localparam int SEEN = VIEWS > 1 ? $clog2(VIEWS) : 1;
    localparam int PAGES = HELD ? 1 : 2;
    localparam int SHARE = PE / VIEW;
    localparam int PART = SHARE > 1 ? $clog2(SHARE) : 1;
    localparam bit BLOCK = APART == 3 && ROWS > 1;

    logic [1:0] taken = '0;         // pages that are filled or read
    logic [READERS-1:0] done = '0;  // readers that have read theirs
    logic released, ends, present;  // `present`: there is a page to read
    logic [FLAGS-1:0] page_flags;

    // What is added, and with APART as many cycles later as it takes to read the row; its start value comes a cycle before.
    localparam int WAITS = BLOCK ? 2 : APART == 0 ? 0 : 1;
    logic adds, first, again, last;
    logic [FLAGS-1:0] flags;
    logic [ROW-1:0] row;
    logic [PE*SUM-1:0] numbers, start;
    logic [PE*SUM-1:0] starts [ROWS];
    initial $readmemh(START, starts);
    if (WAITS > 0) begin : g_apart
        logic [WAITS-1:0] held = '0;
        logic [FLAGS+ROW+2:0] which [WAITS];
        logic [PE*SUM-1:0] number [WAITS];
        logic [ROW-1:0] soon;  // the row that is added to in the next cycle
        always_ff @(posedge clk) begin
            held <= rst ? '0 : WAITS'({held, add});
            which[0] <= {add_row, add_flags, add_first, add_again, add_end};
            number[0] <= add_numbers;
            for (int stage = 1; stage < WAITS; stage++) begin
                which[stage] <= which[stage-1];
                number[stage] <= number[stage-1];
            end
            start <= starts[soon];
        end
        if (WAITS > 1) begin : g_soon
            assign soon = which[WAITS-2][FLAGS+3+:ROW];
        end else begin : g_now
            assign soon = add_row;
        end
        assign adds = held[WAITS-1];
        assign {row, flags, first, again, last} = which[WAITS-1];
        assign numbers = number[WAITS-1];
    end else begin : g_at_once
        assign adds = add;
        assign {first, again, last, flags, row} = {add_first, add_again, add_end, add_flags, add_row};
        assign numbers = add_numbers;
        assign start = starts[row];
    end

    assign free = taken != 2'(PAGES);
    assign released = (done | out_done) == '1;

    always_ff @(posedge clk) begin
        if (rst) begin
            taken <= '0;
            done <= '0;
        end else begin
            taken <= taken + 2'(claim) - 2'(released);
            done <= released ? '0 : done | out_done;
        end
    end

    logic [PE*SUM-1:0] old, known, renewed;
    assign old = first ? start : known;
    for (genvar lane = 0; lane < PE; lane++) begin : g_lane
        assign renewed[lane*SUM+:SUM] = numbers[lane*SUM+:SUM] + old[lane*SUM+:SUM];
    end

    // What is written: at once, or a cycle later in block RAM.
    logic writes, over;
    logic [FLAGS-1:0] last_flags;
    logic [ROW-1:0] write_row;
    logic [PE*SUM-1:0] written;
    if (BLOCK) begin : g_later
        logic later_writes = 1'b0, later_over = 1'b0;
        assign {writes, over} = {later_writes, later_over};
        always_ff @(posedge clk) begin
            later_writes <= adds && !again && !rst;
            later_over <= adds && last && !rst;
            last_flags <= flags;
            write_row <= row;
            written <= renewed;
        end
    end else begin : g_now
        assign writes = adds && !again;
        assign over = adds && last;
        assign last_flags = flags;
        assign write_row = row;
        assign written = renewed;
    end
    assign ends = over;

    logic [READERS*PE*SUM-1:0] whole;  // the row that each reader asks for, or has asked for
    if (ROWS == 1) begin : g_registers
        logic complete = 1'b0;  // sums of a step wait to be handed over
        logic handed = 1'b0;
        logic hands;
        logic [FLAGS-1:0] complete_flags;
        logic [PE*SUM-1:0] page;
        wire unused = &{1'b0, write_row};
        assign hands = complete && !handed;  // a cycle after the page was released: nobody has begun to add before that
        assign present = handed;
        assign whole = {READERS{page}};
        always_ff @(posedge clk) begin
            if (writes) known <= written;
            if (ends) complete_flags <= last_flags;
            if (hands) page_flags <= complete_flags;
            if (rst) begin
                complete <= 1'b0;
                handed <= 1'b0;
            end else begin
                complete <= ends || (complete && !hands);
                handed <= hands || (handed && !released);
            end
        end
        if (HELD) begin : g_held
            assign page = known;  // no step is added before this one has been read
        end else begin : g_handed
            always_ff @(posedge clk) if (hands) page <= known;
        end
    end else begin : g_memory
        localparam int PLACE = PAGES * ROWS > 1 ? $clog2(PAGES * ROWS) : 1;
        logic [1:0] full = '0;
        logic filling = 1'b0;  // the page that is added to, and the one that is read
        logic reading = 1'b0;
        logic coming = 1'b0;   // the page of what comes in
        logic [FLAGS-1:0] all_flags [2];

        function automatic logic [PLACE-1:0] place(input logic page, input logic [ROW-1:0] at);
            place = PLACE'(at) + (page && !HELD ? PLACE'(ROWS) : PLACE'(0));
        endfunction

        assign present = full != '0;
        assign page_flags = all_flags[reading];
        always_ff @(posedge clk) begin
            if (ends) all_flags[filling] <= last_flags;
            coming <= !rst && !HELD && (coming ^ (add && add_end));
            if (rst) begin
                full <= '0;
                filling <= 1'b0;
                reading <= 1'b0;
            end else begin
                full <= full + 2'(ends) - 2'(released);
                if (ends) filling <= !HELD && !filling;
                if (released) reading <= !HELD && !reading;
            end
        end
        logic [PLACE-1:0] asked [READERS];
        for (genvar r = 0; r < READERS; r++) begin : g_asked
            assign asked[r] = place(reading, ROW'(out_row[r*SEEN+:SEEN] >> (SHARE > 1 ? PART : 0)));
        end
        if (BLOCK) begin : g_block
            (* no_rw_check, ram_style = "block" *) logic [PE*SUM-1:0] pages [PAGES * ROWS];
            logic [PE*SUM-1:0] read;
            logic [PE*SUM-1:0] shown [READERS];
            always_ff @(posedge clk) begin
                read <= pages[place(coming, add_row)];
                known <= read;
                if (writes) pages[place(filling, write_row)] <= written;
                for (int r = 0; r < READERS; r++) if (out_read[r]) shown[r] <= pages[asked[r]];
            end
            for (genvar r = 0; r < READERS; r++) begin : g_shown
                assign whole[r*PE*SUM+:PE*SUM] = shown[r];
            end
        end else begin : g_luts
            logic [PE*SUM-1:0] pages [PAGES * ROWS];
            always_ff @(posedge clk) if (writes) pages[place(filling, write_row)] <= written;
            if (APART == 1) begin : g_early
                always_ff @(posedge clk) known <= pages[place(coming, add_row)];
            end else begin : g_now
                assign known = pages[place(filling, row)];
            end
            for (genvar r = 0; r < READERS; r++) begin : g_whole
                assign whole[r*PE*SUM+:PE*SUM] = pages[asked[r]];
            end
        end
        wire unused = &{1'b0, coming};
    end

    // Of many parts a row is chosen in two steps, so that each is a small multiplexer.
    localparam bit TWICE = READ > (BLOCK ? 2 : 1);
    localparam int FEW = TWICE ? 1 << PART / 2 : 1;  // parts that one number of the first choice is of
    localparam int MANY = (SHARE + FEW - 1) / FEW;
    for (genvar r = 0; r < READERS; r++) begin : g_reader
        logic [VIEW*SUM-1:0] parts [MANY * FEW];
        logic [VIEW*SUM-1:0] seen;
        logic [PART-1:0] part;         // that is asked for of the row that is there
        for (genvar s = 0; s < MANY * FEW; s++) begin : g_part
            assign parts[s] = s < SHARE ? whole[(r*SHARE+s)%(READERS*SHARE)*VIEW*SUM+:VIEW*SUM] : '0;
        end
        if (SHARE == 1) begin : g_all
            assign part = '0;
            wire unused = &{1'b0, out_row[r*SEEN+:SEEN], part};
        end else if (BLOCK) begin : g_behind
            always_ff @(posedge clk) if (out_read[r]) part <= PART'(out_row[r*SEEN+:SEEN]);
        end else begin : g_at
            assign part = PART'(out_row[r*SEEN+:SEEN]);
        end
        if (TWICE) begin : g_twice
            logic [VIEW*SUM-1:0] some [MANY];
            localparam int HIGH = MANY > 1 ? $clog2(MANY) : 1;
            logic [HIGH-1:0] which;
            always_ff @(posedge clk) if (out_read[r]) begin
                for (int m = 0; m < MANY; m++) some[m] <= parts[m*FEW|int'(part)%FEW];
                which <= HIGH'(int'(part) / FEW);
                seen <= some[which];
            end
        end else begin : g_once
            always_ff @(posedge clk) if (out_read[r]) seen <= parts[SHARE > 1 ? part : '0];
        end
        assign out_sums[r*VIEW*SUM+:VIEW*SUM] = seen;
        assign out_full[r] = present && !done[r];
        assign out_flags[r*FLAGS+:FLAGS] = page_flags;
    end
endmodule

`default_nettype wire
