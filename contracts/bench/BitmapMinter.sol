// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {BitMaps} from "@openzeppelin/contracts/utils/structs/BitMaps.sol";
import {PlainToken} from "./PlainToken.sol";

/// @title A bit for each reward, as Merkle distributors keep them
/// @notice One storage slot for 256 rewards, and a mint for each.
contract BitmapMinter {
    using BitMaps for BitMaps.BitMap;

    PlainToken public immutable token;
    address public immutable signer;
    BitMaps.BitMap private _paid;

    error NotSigner(address caller);
    error AlreadyPaid(uint256 number);

    event Paid(uint256 first, uint256 count);

    constructor(PlainToken token_, address signer_) {
        (token, signer) = (token_, signer_);
    }

    /// @notice Pays the rewards numbered `first` and up: account and uint96 wei in one word each.
    function payMany(uint256 first, bytes32[] calldata packed) external {
        require(msg.sender == signer, NotSigner(msg.sender));
        emit Paid(first, packed.length);
        for (uint256 i = 0; i < packed.length; ++i) {
            require(!_paid.get(first + i), AlreadyPaid(first + i));
            _paid.set(first + i);
            token.mint(address(uint160(uint256(packed[i]) >> 96)), uint96(uint256(packed[i])));
        }
    }
}
