// What a host says over a serial line, and what a core answers. Numbers have their lowest byte first.
//
// From the host:
//     ?                       who are you
//     R, steps (4 bytes)      a call that starts a sequence; C: one that goes on. Only while no call is under way.
//     W, n - 1, n words       the next words of the input stream, n up to CHUNK; the next ones only after the A for these
//     a break                 resets all of it
// To the host:
//     I, IDENTITY (8 bytes)   of the numbers that the host relies on
//     A                       there is room for another CHUNK words
//     S, word                 a word of the answer; E, word: its last one
//     X                       that was none of these, or not now; nothing happened
`default_nettype none

module squat_host #(
    parameter logic [63:0] IDENTITY = '0,
    parameter int CHUNK = 64  // words, a power of two up to 256
) (
    input  wire logic        clk,
    input  wire logic        rst,
    input  wire logic        in_valid,
    input  wire logic [7:0]  in_byte,
    output      logic        out_valid,
    input  wire logic        out_ready,
    output      logic [7:0]  out_byte,
    output      logic        start,
    output      logic        restart,
    output      logic [31:0] steps,
    input  wire logic        idle,
    output      logic        words_valid,
    input  wire logic        words_ready,
    output      logic [31:0] words_data,
    input  wire logic        scores_valid,
    output      logic        scores_ready,
    input  wire logic [31:0] scores_data,
    input  wire logic        scores_last
);
    // Bytes of a command; a word is whole when its fourth byte is there.
    typedef enum logic [1:0] {COMMAND, STEPS, NUMBER, WORDS} state_t;
    state_t state = COMMAND;
    logic [1:0] byte_number = '0;
    logic [23:0] lower;
    logic [31:0] whole;
    logic [8:0] awaited;         // words of this chunk
    logic calling = 1'b0;        // a call is under way
    logic chunk_in = 1'b0;       // a chunk has come that is not acknowledged
    logic asked, wrong, word_in;

    assign whole = {in_byte, lower};
    assign word_in = in_valid && state == WORDS && byte_number == 2'd3;
    assign asked = in_valid && state == COMMAND && in_byte == "?";

    logic ack_due;
    logic ended;  // the last word of an answer leaves
    always_ff @(posedge clk) begin
        start <= 1'b0;
        wrong <= 1'b0;
        if (rst) begin
            state <= COMMAND;
            byte_number <= '0;
            calling <= 1'b0;
            chunk_in <= 1'b0;
        end else begin
            if (ended) calling <= 1'b0;
            if (ack_due) chunk_in <= 1'b0;
            if (in_valid) begin
                if (state == STEPS || state == WORDS) byte_number <= byte_number + 1'b1;
                lower <= {in_byte, lower[23:8]};
                case (state)
                    COMMAND: begin
                        byte_number <= '0;
                        if (in_byte == "R" || in_byte == "C") begin
                            state <= STEPS;
                            restart <= in_byte == "R";
                        end else if (in_byte == "W") begin
                            state <= NUMBER;
                        end else if (in_byte != "?") begin
                            wrong <= 1'b1;
                        end
                    end
                    STEPS: if (byte_number == 2'd3) begin
                        state <= COMMAND;
                        steps <= whole;
                        if (calling || !idle || whole == '0) begin
                            wrong <= 1'b1;
                        end else begin
                            start <= 1'b1;
                            calling <= 1'b1;
                        end
                    end
                    NUMBER: begin
                        awaited <= 9'(in_byte) + 1'b1;
                        state <= WORDS;
                        if (chunk_in || 9'(in_byte) >= 9'(CHUNK)) begin
                            state <= COMMAND;
                            wrong <= 1'b1;
                        end
                    end
                    WORDS: if (byte_number == 2'd3) begin
                        awaited <= awaited - 1'b1;
                        if (awaited == 9'd1) begin
                            state <= COMMAND;
                            chunk_in <= 1'b1;
                        end
                    end
                endcase
            end
        end
    end

    // Two chunks fit: the words of one may wait while the next one comes. A block RAM, and a register behind it.
    localparam int ROOM = $clog2(2 * CHUNK);
    logic [31:0] words [2 * CHUNK];
    logic [ROOM-1:0] first = '0, next = '0;
    logic [ROOM:0] waiting = '0;  // words in the memory
    logic [ROOM:0] kept;          // and in the register
    logic taken;

    assign taken = waiting != '0 && (!words_valid || words_ready);
    assign kept = waiting + (ROOM + 1)'(words_valid);

    always_ff @(posedge clk) begin
        if (word_in) words[next] <= whole;
        if (taken) words_data <= words[first];
        if (rst) begin
            first <= '0;
            next <= '0;
            waiting <= '0;
            words_valid <= 1'b0;
        end else begin
            if (word_in) next <= next + 1'b1;
            if (taken) first <= first + 1'b1;
            waiting <= waiting + (ROOM + 1)'(word_in) - (ROOM + 1)'(taken);
            words_valid <= taken || (words_valid && !words_ready);
        end
    end

    // Messages: up to nine bytes leave one after another.
    logic [71:0] message;
    logic [3:0] unsent = '0;
    logic ack_asked = 1'b0, asked_asked = 1'b0, wrong_asked = 1'b0;  // what is to be said
    logic free;

    assign free = unsent == '0;
    assign ack_due = chunk_in && kept <= (ROOM + 1)'(CHUNK) && !ack_asked;
    assign scores_ready = free && !ack_asked && !asked_asked && !wrong_asked;
    assign ended = scores_valid && scores_ready && scores_last;
    assign out_valid = !free;
    assign out_byte = message[7:0];

    always_ff @(posedge clk) begin
        if (rst) begin
            unsent <= '0;
            {ack_asked, asked_asked, wrong_asked} <= '0;
        end else begin
            if (ack_due) ack_asked <= 1'b1;
            if (asked) asked_asked <= 1'b1;
            if (wrong) wrong_asked <= 1'b1;
            if (!free && out_ready) begin
                message <= message >> 8;
                unsent <= unsent - 1'b1;
            end else if (free) begin
                message <= '0;
                if (wrong_asked) begin
                    wrong_asked <= 1'b0;
                    message[7:0] <= "X";
                    unsent <= 4'd1;
                end else if (asked_asked) begin
                    asked_asked <= 1'b0;
                    message <= {IDENTITY, 8'("I")};
                    unsent <= 4'd9;
                end else if (ack_asked) begin
                    ack_asked <= 1'b0;
                    message[7:0] <= "A";
                    unsent <= 4'd1;
                end else if (scores_valid) begin
                    message[39:0] <= {scores_data, scores_last ? 8'("E") : 8'("S")};
                    unsent <= 4'd5;
                end
            end
        end
    end
endmodule

`default_nettype wire
