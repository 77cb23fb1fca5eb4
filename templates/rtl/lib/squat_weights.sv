// A large memory of constants, as columns of COLUMN bits, of which each is as deep as one block RAM, or several of DEPTH
// rows side by side: so that tools need no multiplexers of their own behind it.
// Latency: two cycles, since what was read is registered before one of several is chosen, or anything else is done with it.
`default_nettype none

module squat_weights #(
    parameter int WIDTH = 8,
    parameter int ROWS = 2,
    parameter int COLUMN = 8,
    parameter int DEPTH = 2,       // ROWS, or a power of two below
    parameter     FILE = ""        // files FILE + "_000_000.hex": column, part
) (
    input  wire logic                    clk,
    input  wire logic [$clog2(ROWS)-1:0] address,
    output      logic [WIDTH-1:0]        word
);
    localparam int COLUMNS = (WIDTH + COLUMN - 1) / COLUMN;
    localparam int PARTS = (ROWS + DEPTH - 1) / DEPTH;
    localparam int PART = PARTS > 1 ? $clog2(PARTS) : 1;
    localparam int INNER = $clog2(DEPTH);

    logic [COLUMNS*COLUMN-1:0] words [PARTS];
    for (genvar p = 0; p < PARTS; p++) begin : g_part
        localparam logic [23:0] PLACE = {8'(48 + p / 100), 8'(48 + p / 10 % 10), 8'(48 + p % 10)};
        logic [COLUMNS*COLUMN-1:0] read;
        for (genvar c = 0; c < COLUMNS; c++) begin : g_column
            localparam logic [23:0] NAME = {8'(48 + c / 100), 8'(48 + c / 10 % 10), 8'(48 + c % 10)};
            squat_rom #(.WIDTH(COLUMN), .DEPTH(DEPTH), .FILE({FILE, "_", NAME, "_", PLACE, ".hex"})) rom (
                .clk, .address(address[INNER-1:0]), .word(read[c*COLUMN+:COLUMN])
            );
        end
        always_ff @(posedge clk) words[p] <= read;
    end

    logic [COLUMNS*COLUMN-1:0] chosen;
    if (PARTS > 1) begin : g_parts
        logic [PART-1:0] part, earlier;
        always_ff @(posedge clk) begin
            earlier <= address[INNER+:PART];
            part <= earlier;
        end
        assign chosen = words[part];
    end else begin : g_one
        assign chosen = words[0];
    end
    assign word = chosen[WIDTH-1:0];
    wire unused = &{1'b0, chosen};
endmodule

`default_nettype wire
