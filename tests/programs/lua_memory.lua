#!/usr/bin/lua5.4
-- 256 MiB in strings and tables, gone over, and given back.
local MIB = 1024 * 1024
local blocks, sum = {}, 0

for i = 1, 128 do
    blocks[i] = string.rep(string.char(33 + i % 90), MIB)
end
for i = 1, #blocks do
    sum = (sum * 31 + blocks[i]:byte(i * 1000) + #blocks[i]) % 1000000007
end
print("128 strings of a MiB", sum)

local numbers = {}
for i = 1, 8 * MIB do
    numbers[i] = i
end
sum = 0
for i = 1, #numbers, 4097 do
    sum = sum + numbers[i]
end
print("a table of 8 Mi numbers", #numbers, sum)
print("at least 256 MiB", collectgarbage("count") * 1024 >= 256 * MIB)

blocks, numbers = nil, nil
collectgarbage()
collectgarbage()
print("given back", collectgarbage("count") * 1024 < MIB)

local map = {}
for i = 1, 100000 do
    map["key" .. i] = i
end
local odd = 0
for key, value in pairs(map) do
    if value % 2 == 1 then
        odd = odd + 1
    end
end
print("a map of 100000 keys", odd, map.key99999)
