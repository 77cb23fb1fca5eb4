// Lists what is not zero, in several banks at once: words of FIELDS numbers become beats of up to SIMD events, one of each.
//
// Field f of word w belongs to bank f % SIMD, where it has the index w * FIELDS / SIMD + f / SIMD. A bank has a queue of its
// parts of the words, without those in which there is nothing, so that it runs ahead of the others within a step: a beat
// has the next event of every bank that has one. The last beat of a step says so (`out_end`) and carries the step's flags;
// a bank that has come to its end waits there for the others. A step without events is one beat without events.
// Words come up to the end of the step behind the one that is listed.
// Latency: 3 cycles, 2 without queues (DEPTH 0, for steps of one word). Throughput: a word a cycle, and a beat a cycle; a
// step takes as many beats as its fullest bank has events, and more where words come too late.
`default_nettype none

module squat_dealer #(
    parameter int FIELDS = 32,  // a multiple of SIMD
    parameter int VALUE = 1,    // bits of a number; 1 where there are only spikes
    parameter int SIMD = 2,
    parameter int INDEX = 8,
    parameter int DEPTH = 16,   // parts of words that wait in a bank: a power of two, or 0
    parameter bit NAMED = 1'b0, // words say themselves which index their first fields have: with SLOTS 1 alone
    parameter int FLAGS = 2
) (
    input  wire logic                    clk,
    input  wire logic                    rst,
    input  wire logic                    in_valid,
    output      logic                    in_ready,
    input  wire logic [FIELDS*VALUE-1:0] in_fields,
    input  wire logic [INDEX-1:0]        in_index, // with NAMED
    input  wire logic                    in_last,  // the last word of a step
    input  wire logic [FLAGS-1:0]        in_flags,
    output      logic                    out_valid = 1'b0,
    input  wire logic                    out_ready,
    output      logic                    out_end,
    output      logic [FLAGS-1:0]        out_flags,
    output      logic [SIMD-1:0]         out_keep,
    output      logic [SIMD*INDEX-1:0]   out_index,
    output      logic [SIMD*VALUE-1:0]   out_value
);
    localparam int SLOTS = FIELDS / SIMD;  // fields of a bank
    localparam int SHIFT = zeros(SLOTS);   // low bits of the index of its first field, which are 0 in every word
    localparam int BASE = INDEX > SHIFT ? INDEX - SHIFT : 1;
    localparam int PART = 1 + BASE + SLOTS * VALUE;

    function automatic int zeros(input int number);
        zeros = 0;
        while (!number[zeros]) zeros++;
    endfunction

    wire unused_index = &{1'b0, in_index};

    logic [SIMD-1:0] has, ended;  // banks with an event, and those that have none behind it in this step
    logic [SIMD-1:0] roomy;
    logic [BASE-1:0] base;        // of the word that comes
    logic [FLAGS-1:0] flags;      // of the step that is listed
    logic gives, ends, whole;     // `whole`: all words of this step have come
    logic can;                    // a beat can be given
    logic turn, coming;           // whose parts are listed, and whose words come: every second step
    assign ends = whole && ended == '1;
    assign can = !out_valid || out_ready;
    assign gives = can && (has != '0 || ends);

    if (DEPTH > 0) begin : g_ahead
        logic [BASE-1:0] along = '0;
        logic [1:0] come = '0;    // steps that are whole
        logic [FLAGS-1:0] all_flags [2];
        logic listed = 1'b0;
        logic comes = 1'b0;
        assign base = NAMED ? BASE'(in_index) : along;
        assign coming = comes;
        assign in_ready = roomy == '1 && !come[comes];
        assign whole = come[listed];
        assign flags = all_flags[listed];
        assign turn = listed;
        always_ff @(posedge clk) begin
            if (in_valid && in_ready) all_flags[comes] <= in_flags;
            if (rst) begin
                along <= '0;
                come <= '0;
                listed <= 1'b0;
                comes <= 1'b0;
            end else begin
                if (gives && ends) listed <= !listed;
                if (gives && ends) come[listed] <= 1'b0;
                if (in_valid && in_ready) begin
                    along <= in_last ? '0 : along + BASE'(SLOTS >> SHIFT);
                    if (in_last) come[comes] <= 1'b1;
                    if (in_last) comes <= !comes;
                end
            end
        end
    end else begin : g_at_once
        logic filled = 1'b0;
        logic [FLAGS-1:0] own_flags;
        assign base = '0;
        assign coming = 1'b0;
        assign in_ready = !filled || (gives && ends);
        assign whole = filled;
        assign flags = own_flags;
        assign turn = 1'b0;
        wire unused = &{1'b0, in_last, roomy, turn};
        always_ff @(posedge clk) begin
            if (in_ready) own_flags <= in_flags;
            if (rst) filled <= 1'b0;
            else if (in_ready) filled <= in_valid;
        end
    end

    for (genvar b = 0; b < SIMD; b++) begin : g_bank
        logic [SLOTS*VALUE-1:0] mine;
        for (genvar s = 0; s < SLOTS; s++) begin : g_slot
            assign mine[s*VALUE+:VALUE] = in_fields[(s*SIMD+b)*VALUE+:VALUE];
        end

        logic there, same, taken;     // the next part of a word, whether it is of the step that is listed
        logic [PART-1:0] part;
        if (DEPTH > 0) begin : g_queue
            squat_fifo #(.WIDTH(PART), .DEPTH(DEPTH)) queue (
                .clk, .rst, .in_valid(in_valid && in_ready && mine != '0), .in_ready(roomy[b]),
                .in_data({coming, base, mine}), .out_valid(there), .out_ready(taken), .out_data(part)
            );
        end else begin : g_none
            assign roomy[b] = 1'b1;
            assign there = in_valid && in_ready;
            assign part = {coming, base, mine};
        end

        logic [BASE-1:0] first;
        logic [SLOTS*VALUE-1:0] fields;
        logic [SLOTS-1:0] left = '0;  // fields that wait to be listed
        logic [SLOTS-1:0] lowest, found;
        logic single;                 // one at most
        for (genvar s = 0; s < SLOTS; s++) begin : g_found
            assign found[s] = |part[s*VALUE+:VALUE];
        end
        assign lowest = left & (~left + 1'b1);
        assign single = (left & (left - 1'b1)) == '0;
        assign has[b] = left != '0;
        // of the step behind it, when this one ends; else when the last field is listed, or none is there
        assign same = part[PART-1] == turn;
        assign taken = there && (same ? (can ? single : left == '0) : can && ends);

        always_ff @(posedge clk) begin
            if (taken) {first, fields} <= part[PART-2:0];
            if (rst) left <= '0;
            else if (taken) left <= found;
            else if (can) left <= left & ~lowest;
        end
        if (DEPTH > 0) begin : g_behind
            assign ended[b] = single && !(there && same);
        end else begin : g_alone
            assign ended[b] = single;
        end

        logic [INDEX-1:0] start, slot;
        logic [VALUE-1:0] value;
        assign start = INDEX'(first) << SHIFT;
        always_comb begin
            slot = '0;
            value = '0;
            for (int s = 0; s < SLOTS; s++) begin
                if (lowest[s]) slot |= INDEX'(s);
                if (lowest[s]) value |= fields[s*VALUE+:VALUE];
            end
        end
        always_ff @(posedge clk) begin
            if (can) begin
                out_keep[b] <= has[b];
                out_index[b*INDEX+:INDEX] <= !has[b] ? '0 : SLOTS == 1 << SHIFT ? start | slot : start + slot;
                out_value[b*VALUE+:VALUE] <= value;
            end
        end
    end

    always_ff @(posedge clk) begin
        if (can) begin
            out_end <= ends;
            out_flags <= ends ? flags : '0;
        end
        if (rst) out_valid <= 1'b0;
        else if (can) out_valid <= gives;
    end
endmodule

`default_nettype wire
