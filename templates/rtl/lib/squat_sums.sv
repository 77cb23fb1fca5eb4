// Sums of a step, a page of ROWS rows of PE, filled by additions and then read by READERS, each by a port of its own.
//
// Pages are doubled: while one is read, the next step is added up. Whoever fills says `claim` when a step begins, which
// takes a page that is `free`; the first addition to a row replaces what it held by the start value plus the numbers, so
// that nothing is ever cleared. A page is full after `add_end`, and is given back when all readers have said `out_done`.
// With HELD there is one page, that stays over the steps of a sequence: `add_again` presents it once more.
// A row is read, added to and written within a cycle, so that it may come again in the next. Reading takes a cycle:
// `out_sums` are those of `out_row` at the last clock at which `out_read` was high.
`default_nettype none

module squat_sums #(
    parameter int PE = 1,
    parameter int ROWS = 1,
    parameter int SUM = 12,     // bits of a sum
    parameter bit HELD = 1'b0,
    parameter int READERS = 1,
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
    input  wire logic [READERS*ROW-1:0]    out_row,
    input  wire logic [READERS-1:0]        out_read,
    output      logic [READERS*PE*SUM-1:0] out_sums,
    input  wire logic [READERS-1:0]        out_done
);
    localparam int ROW = ROWS > 1 ? $clog2(ROWS) : 1;
    localparam int PAGES = HELD ? 1 : 2;
    localparam int PLACE = PAGES * ROWS > 1 ? $clog2(PAGES * ROWS) : 1;

    function automatic logic [PLACE-1:0] place(input logic page, input logic [ROW-1:0] row);
        place = PLACE'(row) + (page && !HELD ? PLACE'(ROWS) : PLACE'(0));
    endfunction

    logic [1:0] taken = '0;          // pages that are filled or read
    logic [1:0] full = '0;
    logic filling = 1'b0;            // the page that is added to, and the one that is read
    logic reading = 1'b0;
    logic [READERS-1:0] done = '0;   // readers that have read it
    logic [FLAGS-1:0] flags [2];
    logic released;

    assign free = taken != 2'(PAGES);
    assign released = (done | out_done) == '1;

    always_ff @(posedge clk) begin
        if (add && add_end) flags[filling] <= add_flags;
        if (rst) begin
            taken <= '0;
            full <= '0;
            filling <= 1'b0;
            reading <= 1'b0;
            done <= '0;
        end else begin
            taken <= taken + 2'(claim) - 2'(released);
            full <= full + 2'(add && add_end) - 2'(released);
            if (add && add_end) filling <= !HELD && !filling;
            if (released) reading <= !HELD && !reading;
            done <= released ? '0 : done | out_done;
        end
    end

    logic [PE*SUM-1:0] pages [PAGES * ROWS];
    logic [PE*SUM-1:0] starts [ROWS];
    initial $readmemh(START, starts);

    logic [PE*SUM-1:0] old, renewed;
    assign old = add_first ? starts[add_row] : pages[place(filling, add_row)];
    for (genvar lane = 0; lane < PE; lane++) begin : g_lane
        assign renewed[lane*SUM+:SUM] = old[lane*SUM+:SUM] + add_numbers[lane*SUM+:SUM];
    end
    always_ff @(posedge clk) if (add && !add_again) pages[place(filling, add_row)] <= renewed;

    for (genvar r = 0; r < READERS; r++) begin : g_reader
        logic [PE*SUM-1:0] row;
        always_ff @(posedge clk) if (out_read[r]) row <= pages[place(reading, out_row[r*ROW+:ROW])];
        assign out_sums[r*PE*SUM+:PE*SUM] = row;
        assign out_full[r] = full != '0 && !done[r];
        assign out_flags[r*FLAGS+:FLAGS] = flags[reading];
    end
endmodule

`default_nettype wire
