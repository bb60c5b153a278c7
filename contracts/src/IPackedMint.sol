// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @notice What the rewards minter asks of the token.
interface IPackedMint {
    /// @notice Mints each word's low 96 bits, in wei, to the account in its high 160 bits.
    /// @return sum the wei minted
    function mintPacked(bytes32[] calldata packed) external returns (uint256 sum);
}
