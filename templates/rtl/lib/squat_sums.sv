// Sums of a step, a page of ROWS rows of PE, filled by additions and then read by READERS, each by a port of its own.
//
// Pages are doubled: while one is read, the next step is added up. Whoever fills says `claim` when a step begins, which
// takes a page that is `free`; the first addition to a row replaces what it held by the start value plus the numbers, so
// that nothing is ever cleared. A page is full after `add_end`, and is given back when all readers have said `out_done`.
// With HELD there is one page, that stays over the steps of a sequence: `add_again` presents it once more.
// A row is read, added to and written within a cycle, so that it may come again in the next, or with APART in two. Reading takes a cycle:
// `out_sums` are those of `out_row` at the last clock at which `out_read` was high. Readers count in rows of VIEW sums, so
// that few neuron units can serve many lanes.
// One row of its own is registers: a second one takes the sums of a step when they are complete and nobody reads it.
`default_nettype none

module squat_sums #(
    parameter int PE = 1,
    parameter int ROWS = 1,
    parameter int SUM = 12,     // bits of a sum
    parameter bit HELD = 1'b0,
    parameter bit APART = 1'b0, // a row comes again two cycles later at the earliest
    parameter int READERS = 1,
    parameter int VIEW = PE,    // sums that are read at once: PE / VIEW parts a row, a power of two if there are ROWS
    parameter int VIEWS = ROWS, // of these
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

    logic [1:0] taken = '0;         // pages that are filled or read
    logic [READERS-1:0] done = '0;  // readers that have read theirs
    logic released, ends, present;  // `present`: there is a page to read
    logic [FLAGS-1:0] page_flags;

    // What is added, and with APART a cycle later, when the row has been read.
    logic adds, first, again, last;
    logic [FLAGS-1:0] flags;
    logic [ROW-1:0] row;
    logic [PE*SUM-1:0] numbers;
    if (APART) begin : g_apart
        logic held = 1'b0;
        always_ff @(posedge clk) begin
            held <= add && !rst;
            {first, again, last, flags, row} <= {add_first, add_again, add_end, add_flags, add_row};
            numbers <= add_numbers;
        end
        assign adds = held;
    end else begin : g_at_once
        assign adds = add;
        assign {first, again, last, flags, row} = {add_first, add_again, add_end, add_flags, add_row};
        assign numbers = add_numbers;
    end

    assign ends = adds && last;
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

    logic [PE*SUM-1:0] starts [ROWS];
    initial $readmemh(START, starts);
    logic [PE*SUM-1:0] old, known, renewed;
    assign old = first ? starts[row] : known;
    for (genvar lane = 0; lane < PE; lane++) begin : g_lane
        assign renewed[lane*SUM+:SUM] = numbers[lane*SUM+:SUM] + old[lane*SUM+:SUM];
    end

    logic [READERS*PE*SUM-1:0] whole;  // the row that each reader asks for
    if (ROWS == 1) begin : g_registers
        logic complete = 1'b0;  // sums of a step wait to be handed over
        logic handed = 1'b0;
        logic hands;
        logic [FLAGS-1:0] complete_flags;
        logic [PE*SUM-1:0] page;
        assign hands = complete && !handed;  // a cycle after the page was released: nobody has begun to add before that
        assign present = handed;
        assign whole = {READERS{page}};
        always_ff @(posedge clk) begin
            if (adds && !again) known <= renewed;
            if (ends) complete_flags <= flags;
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
        logic [FLAGS-1:0] all_flags [2];
        logic [PE*SUM-1:0] pages [PAGES * ROWS];

        function automatic logic [PLACE-1:0] place(input logic page, input logic [ROW-1:0] at);
            place = PLACE'(at) + (page && !HELD ? PLACE'(ROWS) : PLACE'(0));
        endfunction

        assign present = full != '0;
        assign page_flags = all_flags[reading];
        if (APART) begin : g_early
            logic fills;  // the page of what comes, which is the next one where a step ends now
            assign fills = HELD ? 1'b0 : filling ^ ends;
            always_ff @(posedge clk) known <= pages[place(fills, add_row)];
        end else begin : g_now
            assign known = pages[place(filling, row)];
        end
        always_ff @(posedge clk) begin
            if (adds && !again) pages[place(filling, row)] <= renewed;
            if (ends) all_flags[filling] <= flags;
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
        for (genvar r = 0; r < READERS; r++) begin : g_whole
            logic [ROW-1:0] asked;
            assign asked = ROW'(out_row[r*SEEN+:SEEN] >> (SHARE > 1 ? PART : 0));
            assign whole[r*PE*SUM+:PE*SUM] = pages[place(reading, asked)];
        end
    end

    for (genvar r = 0; r < READERS; r++) begin : g_reader
        logic [VIEW*SUM-1:0] parts [SHARE];
        logic [VIEW*SUM-1:0] seen;
        for (genvar s = 0; s < SHARE; s++) begin : g_part
            assign parts[s] = whole[(r*SHARE+s)*VIEW*SUM+:VIEW*SUM];
        end
        if (SHARE > 1) begin : g_chosen
            always_ff @(posedge clk) if (out_read[r]) seen <= parts[PART'(out_row[r*SEEN+:SEEN])];
        end else begin : g_all
            always_ff @(posedge clk) if (out_read[r]) seen <= parts[0];
            wire unused = &{1'b0, out_row[r*SEEN+:SEEN]};
        end
        assign out_sums[r*VIEW*SUM+:VIEW*SUM] = seen;
        assign out_full[r] = present && !done[r];
        assign out_flags[r*FLAGS+:FLAGS] = page_flags;
    end
endmodule

`default_nettype wire
