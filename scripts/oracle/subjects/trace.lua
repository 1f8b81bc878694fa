-- A loop that LuaJIT compiles while it runs: where it is stopped, the program counter is in code that was made at run time, which no file has.
local ready = arg[1]
local function work(from)
    local sum = from
    for round = 1, 1e15 do
        sum = (sum * 3 + round) % 1000003
        if round == 1e6 then io.open(ready, "w"):close() end
    end
    return sum
end
print(work(1))
